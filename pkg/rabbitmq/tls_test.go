package rabbitmq_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/rabbitmq"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	otherCA := newCA()
	for name, test := range map[string]struct {
		ca      *authority
		names   []string
		problem string // what the log must contain; empty: the connection works
	}{
		"valid certificate": {testCA, []string{"localhost"}, ""},
		"for another host":  {testCA, []string{"rabbit.example"}, "certificate is valid for rabbit.example, not localhost"},
		"of an unknown CA":  {otherCA, []string{"localhost"}, "certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := tlsProxy(t, broker(t), test.ca.issue(test.names...))
			log := &testkit.Buffer{}
			p := rabbitmq.New(cfg, rabbitmq.Config{Log: slog.New(slog.NewTextHandler(log, nil))})
			run(t, p)
			if test.problem != "" {
				testkit.WaitFor(t, "the problem in the log", func() bool { return strings.Contains(log.String(), test.problem) })
				return
			}
			testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })
			noErrors(t, p.Publish(t.Context(), newEvents(t, randomType(), 10)))
		})
	}
}

// TestACAIsReadAgain replaces the CA file. The new CA has issued the broker's certificate.
func TestACAIsReadAgain(t *testing.T) {
	t.Parallel()
	next, file := newCA(), filepath.Join(t.TempDir(), "ca.pem")
	cfg := tlsProxy(t, broker(t), next.issue("localhost"))
	cfg.CAFile = file
	testCA.write(t, file)
	log := &testkit.Buffer{}
	p := rabbitmq.New(cfg, rabbitmq.Config{Log: slog.New(slog.NewTextHandler(log, nil))})
	run(t, p)
	testkit.WaitFor(t, "the problem in the log", func() bool {
		return strings.Contains(log.String(), "certificate signed by unknown authority")
	})
	next.write(t, file)
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })
}

// TestAClientCertificateIsReadAgain replaces the certificate and its key. The server trusts only the new certificate.
func TestAClientCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	next, dir := newCA(), t.TempDir()
	trusted := x509.NewCertPool()
	trusted.AddCert(next.certificate)
	var attempts atomic.Int64
	cfg := tlsProxy(t, broker(t), testCA.issue("localhost"), func(server *tls.Config) {
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, trusted
		server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			attempts.Add(1)
			return nil, nil // use the configuration of the server
		}
	})
	cfg.CertFile, cfg.KeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePair(t, cfg, testCA.issue("client"))
	p := rabbitmq.New(cfg, rabbitmq.Config{Log: slog.New(slog.DiscardHandler)})
	run(t, p)
	testkit.WaitFor(t, "a second attempt to connect", func() bool { return attempts.Load() > 1 })
	if p.Check(t.Context()) == nil {
		t.Error("the server accepts a certificate of another CA")
	}
	writePair(t, cfg, next.issue("client"))
	testkit.WaitFor(t, "the connection", func() bool { return p.Check(t.Context()) == nil })
}

// writePair writes a certificate and its key to the files of the broker's client certificate.
func writePair(t *testing.T, cfg rabbitmq.Broker, certificate tls.Certificate) {
	t.Helper()
	key := must(x509.MarshalPKCS8PrivateKey(certificate.PrivateKey))
	for file, block := range map[string]*pem.Block{
		cfg.CertFile: {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}, cfg.KeyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// write writes the certificate of the CA to a file.
func (a *authority) write(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tlsProxy starts a TLS endpoint named localhost in front of the broker.
func tlsProxy(t *testing.T, cfg rabbitmq.Broker, certificate tls.Certificate, more ...func(*tls.Config)) rabbitmq.Broker {
	t.Helper()
	serverConfig := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	for _, change := range more {
		change(serverConfig)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serverConfig)
	if err != nil {
		t.Fatal(err)
	}
	upstream := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { join(client, upstream) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	cfg = withAddress(t, cfg, listener.Addr().String())
	cfg.Host, cfg.TLS = "localhost", true
	return cfg
}

// join copies in both directions until one side closes.
func join(client net.Conn, upstream string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// testCA is trusted by this process like the system's CAs.
var testCA = newCA()

// trustTestCA adds testCA to the system's CAs. Call it before the first use of the system's CAs.
func trustTestCA() (cleanup func()) {
	dir := must(os.MkdirTemp("", "rabbitmq-test-"))
	file := filepath.Join(dir, "ca.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: testCA.certificate.Raw})
	if err := os.WriteFile(file, content, 0o600); err != nil {
		panic(err)
	}
	if err := os.Setenv("SSL_CERT_FILE", file); err != nil {
		panic(err)
	}
	return func() { _ = os.RemoveAll(dir) }
}

func newCA() *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &authority{certificate: must(x509.ParseCertificate(raw)), key: key}
}

// issue returns a server certificate for the names.
func (a *authority) issue(names ...string) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw := must(x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key))
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// must panics on errors that require a broken crypto library or file system.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
