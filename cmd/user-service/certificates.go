package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"

	"user-service/pkg/config"
)

// certificates are the paths of PEM files with certificates, by their use.
type certificates map[string]string

func newCertificates(cfg config.Config) certificates {
	files := certificates{"database_ca": cfg.Database.File("sslrootcert"), "database_client": cfg.Database.File("sslcert")}
	if cfg.RabbitMQ.TLS {
		files["rabbitmq_ca"], files["rabbitmq_client"] = cfg.RabbitMQ.CAFile, cfg.RabbitMQ.CertFile
	}
	return files
}

// expiries returns for each file the earliest expiry of its certificates. It omits files without a certificate.
func (c certificates) expiries() map[string]time.Time {
	expiries := map[string]time.Time{}
	for use, file := range c {
		if expiry := firstExpiry(file); !expiry.IsZero() {
			expiries[use] = expiry
		}
	}
	return expiries
}

// firstExpiry returns the earliest expiry of the certificates in a PEM file, or the zero time.
func firstExpiry(file string) (first time.Time) {
	content, err := os.ReadFile(file) //nolint:gosec // the operator sets the path
	if err != nil {
		return first
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err == nil && (first.IsZero() || certificate.NotAfter.Before(first)) {
			first = certificate.NotAfter
		}
	}
	return first
}
