// Orders is the application behind the gateway of the sample shop. It trusts the headers that the gateway has set, so only the
// gateway may reach it.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"sync"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:3003", "the address")
	flag.Parse()
	s := &shop{orders: map[string][]order{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", s.list)
	mux.HandleFunc("POST /orders", s.add)
	log.Fatal((&http.Server{Addr: *listen, Handler: identified(mux), ReadHeaderTimeout: 10 * time.Second}).ListenAndServe())
}

type order struct {
	Item string    `json:"item"`
	Time time.Time `json:"time"`
}

// shop has the orders by user id.
type shop struct {
	mu     sync.Mutex
	orders map[string][]order
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
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&o); err != nil || o.Item == "" {
		http.Error(w, "item is missing", http.StatusUnprocessableEntity)
		return
	}
	o.Time = time.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.Header.Get("X-User-Id")
	s.orders[id] = append(s.orders[id], o)
	w.WriteHeader(http.StatusCreated)
}
