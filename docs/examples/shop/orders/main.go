// Orders is the application behind the gateway of the sample shop. It trusts the headers that the gateway has set, so only the
// gateway may reach it.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:3003", "the address")
	broker := flag.String("amqp", os.Getenv("AMQP_URL"), "the broker, by default AMQP_URL; empty: orders of erased users are kept")
	file := flag.String("amqp-file", "", "a file with the URL of the broker")
	flag.Parse()
	if *file != "" {
		url, err := os.ReadFile(*file)
		if err != nil {
			log.Fatal(err)
		}
		*broker = strings.TrimSpace(string(url))
	}
	s := &shop{orders: map[string][]order{}, erased: map[string]bool{}}
	if *broker != "" {
		go s.follow(*broker)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", s.list)
	mux.HandleFunc("POST /orders", s.add)
	mux.HandleFunc("POST /refunds", s.refund)
	log.Fatal((&http.Server{Addr: *listen, Handler: identified(mux), ReadHeaderTimeout: 10 * time.Second}).ListenAndServe())
}

type order struct {
	Item       string    `json:"item"`
	Time       time.Time `json:"time"`
	RefundedBy string    `json:"refunded_by,omitempty"`
}

// shop has the orders by user id, and the ids of erased users. A real shop would have two tables.
type shop struct {
	mu     sync.Mutex
	orders map[string][]order
	erased map[string]bool
}

// identified refuses requests that did not pass the gateway's check. A client can make a gateway drop X-User-Id.
func identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-User-Id") == "" {
			http.Error(w, "no identity", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *shop) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string][]order{"items": append([]order{}, s.orders[r.Header.Get("X-User-Id")]...)})
}

func (s *shop) add(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-User-Email-Verified") != "true" {
		http.Error(w, "Please confirm your email before you order.", http.StatusForbidden)
		return
	}
	var o order
	if !read(w, r, &o) || o.Item == "" {
		http.Error(w, "item is missing", http.StatusUnprocessableEntity)
		return
	}
	o.Time, o.RefundedBy = time.Now().UTC(), ""
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.Header.Get("X-User-Id")
	if s.erased[id] { // erased after the gateway's check
		http.Error(w, "no identity", http.StatusUnauthorized)
		return
	}
	s.orders[id] = append(s.orders[id], o)
	w.WriteHeader(http.StatusCreated)
}

// refund refunds the orders of a customer for an item. Its permission belongs to this application: an administrator adds it to a role.
func (s *shop) refund(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(strings.Split(r.Header.Get("X-User-Permissions"), ","), "orders:refund") {
		http.Error(w, "This needs the permission orders:refund.", http.StatusForbidden)
		return
	}
	var q struct{ Customer, Item string }
	if !read(w, r, &q) {
		http.Error(w, "customer and item are missing", http.StatusUnprocessableEntity)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.orders[q.Customer] {
		if o.Item == q.Item {
			s.orders[q.Customer][i].RefundedBy = r.Header.Get("X-User-Id")
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// read decodes the body, and returns whether it is readable.
func read(w http.ResponseWriter, r *http.Request, to any) bool {
	return json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(to) == nil
}
