// Command admission stands in for programs of other clusters that change new pods:
//
//	admission serve  # Serves the webhooks /sidecar and /uid over TLS.
//	admission idle   # Is the sidecar: it waits for SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const cert, key = "/tls/tls.crt", "/tls/tls.key"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "admission:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "serve":
		return serve(os.Getenv("SIDECAR_IMAGE"))
	case len(args) == 1 && args[0] == "idle":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		<-ctx.Done()
		return nil
	default:
		return errors.New("name one of the commands serve and idle")
	}
}

// serve serves the webhooks until the process is killed.
func serve(sidecarImage string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sidecar", webhook(func(p pod) ([]change, error) { return injectSidecar(p, sidecarImage), nil }))
	mux.HandleFunc("POST /uid", webhook(assignUser))
	server := &http.Server{Addr: ":8443", Handler: mux, ReadHeaderTimeout: time.Second}
	return server.ListenAndServeTLS(cert, key)
}

// review is an AdmissionReview of admission.k8s.io/v1.
type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID    string `json:"uid"`
	Object pod    `json:"object"`
}

type response struct {
	UID       string            `json:"uid"`
	Allowed   bool              `json:"allowed"`
	Status    map[string]string `json:"status,omitempty"`
	PatchType string            `json:"patchType,omitempty"`
	Patch     []byte            `json:"patch,omitempty"`
}

// change is an operation of a JSON patch.
type change struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// webhook answers with the changes of decide, or refuses the pod with its error.
func webhook(decide func(pod) ([]change, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var asked review
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Request == nil {
			http.Error(w, "the body is not an AdmissionReview", http.StatusBadRequest)
			return
		}
		answer := &response{UID: asked.Request.UID, Allowed: true}
		changes, err := decide(asked.Request.Object)
		switch {
		case err != nil:
			answer.Allowed, answer.Status = false, map[string]string{"message": err.Error()}
		case len(changes) > 0:
			answer.PatchType = "JSONPatch"
			answer.Patch, _ = json.Marshal(changes)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review{APIVersion: asked.APIVersion, Kind: asked.Kind, Response: answer})
	}
}
