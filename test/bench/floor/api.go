package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/crypto/argon2"
)

const schema = `
	CREATE TABLE IF NOT EXISTS users (id uuid PRIMARY KEY, email text NOT NULL UNIQUE, email_verified boolean NOT NULL,
		password_salt bytea NOT NULL, password_key bytea NOT NULL, roles text[] NOT NULL, status text NOT NULL, version bigint NOT NULL,
		created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
	CREATE TABLE IF NOT EXISTS outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id uuid NOT NULL, type text NOT NULL,
		data json NOT NULL)`

// account is a user in a response, with the fields of the service's user without a profile.
type account struct {
	ID            uuid.UUID `json:"id"`
	Email         string    `json:"email"`
	EmailVerified bool      `json:"email_verified"`
	Roles         []string  `json:"roles"`
	Status        string    `json:"status"`
	Version       int64     `json:"version"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
}

// api handles the requests.
type api struct {
	db     *pgxpool.Pool
	relay  *relay
	secret []byte
	slots  chan struct{} // one element for each running hash
}

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", a.get)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("POST /register", a.register)
	return mux
}

// get sends the caller's own user.
func (a *api) get(w http.ResponseWriter, r *http.Request) {
	var claims jwt.RegisteredClaims
	_, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	key := func(*jwt.Token) (any, error) { return a.secret, nil }
	if _, err := jwt.ParseWithClaims(raw, &claims, key, jwt.WithValidMethods([]string{"HS256"})); err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if id := r.PathValue("id"); id != "me" && id != claims.Subject {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	var u account
	err := a.db.QueryRow(r.Context(), `
		SELECT id, email, email_verified, roles, status, version, created_at, updated_at FROM users WHERE id = $1`, claims.Subject).
		Scan(&u.ID, &u.Email, &u.EmailVerified, &u.Roles, &u.Status, &u.Version, &u.CreatedAt, &u.UpdatedAt)
	respond(w, http.StatusOK, u, err)
}

// credentials is the body of a login and of a registration.
type credentials struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

// login compares the password with the hash, and signs a token. It stores nothing.
func (a *api) login(w http.ResponseWriter, r *http.Request) {
	var in credentials
	var id string
	var salt, key []byte
	err := json.NewDecoder(r.Body).Decode(&in)
	if err == nil {
		err = a.db.QueryRow(r.Context(), `SELECT id::text, password_salt, password_key FROM users WHERE email = $1`, in.Email).
			Scan(&id, &salt, &key)
	}
	if err == nil && subtle.ConstantTimeCompare(a.hash(r.Context(), in.Password, salt), key) == 0 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var out struct {
		AccessToken string `json:"access_token"`
	}
	if err == nil {
		claims := jwt.RegisteredClaims{Subject: id, ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))}
		out.AccessToken, err = jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(a.secret)
	}
	respond(w, http.StatusOK, out, err)
}

// register stores a user and an event in one transaction and one round trip.
func (a *api) register(w http.ResponseWriter, r *http.Request) {
	var in credentials
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		respond(w, http.StatusCreated, nil, err)
		return
	}
	now, salt := time.Now().UTC(), make([]byte, 16)
	_, _ = rand.Read(salt)
	u := account{ID: uuid.Must(uuid.NewV7()), Email: in.Email, Roles: []string{"user"}, Status: "active", Version: 1, CreatedAt: now, UpdatedAt: now}
	key := a.hash(r.Context(), in.Password, salt)
	data, err := json.Marshal(u)
	var batch pgx.Batch // an implicit transaction
	batch.Queue(`INSERT INTO users VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`,
		u.ID, u.Email, u.EmailVerified, salt, key, u.Roles, u.Status, u.Version, now)
	batch.Queue(`INSERT INTO outbox (event_id, type, data) VALUES ($1, 'user.created', $2)`, uuid.Must(uuid.NewV7()), data)
	if err == nil {
		err = a.db.SendBatch(r.Context(), &batch).Close()
	}
	a.relay.wake()
	respond(w, http.StatusCreated, u, err)
}

// hash computes a hash with the default parameters of the service, when a slot is free.
func (a *api) hash(ctx context.Context, password string, salt []byte) []byte {
	select {
	case a.slots <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-a.slots }()
	return argon2.IDKey([]byte(password), salt, 2, 19456, 1, 32)
}

func respond(w http.ResponseWriter, status int, value any, err error) {
	body, encodeErr := json.Marshal(value)
	if err != nil || encodeErr != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
