package gateway_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// keys make a private key of each kind.
var keys = map[string]func() (crypto.PrivateKey, error){
	"EdDSA": func() (crypto.PrivateKey, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err },
	"ES256": func() (crypto.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
	"RS256": func() (crypto.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) },
}

func TestALibraryOfOthersVerifiesByTheKeySet(t *testing.T) {
	t.Parallel()
	jose := installJose(t)
	for alg, generate := range keys {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			key, err := generate()
			if err != nil {
				t.Fatal(err)
			}
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
			s := startService(t, map[string]string{"JWT_PRIVATE_KEY": private})
			id, token := s.login()
			head, rest, _ := strings.Cut(token, ".")
			payload, signature, _ := strings.Cut(rest, ".")
			_, other := startService(t, nil).login() // by a secret, which nobody else can verify

			cmd := exec.Command("node", "verify.mjs", "http://"+s.addr+"/.well-known/jwks.json", "user-service", "user-service")
			cmd.Dir = jose
			cmd.Stdin = strings.NewReader(strings.Join([]string{
				token, head + "." + payload[1:] + "." + signature, head + "." + payload + "." + strings.Repeat("A", len(signature)), other,
			}, "\n"))
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if len(lines) != 4 || lines[0] != "good "+id {
				t.Fatalf("jose says %q, want the first to be good", lines)
			}
			for _, line := range lines[1:] {
				if !strings.HasPrefix(line, "bad ") {
					t.Errorf("jose says %q of a forged token", line)
				}
			}
		})
	}
}

// installJose returns a folder with the script and what it needs.
func installJose(t *testing.T) (dir string) {
	t.Helper()
	npm := installed(t, "npm", "node")
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("jose")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}
