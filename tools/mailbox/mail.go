package main

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// mail is a mail that user-service mail has written to a file.
type mail struct {
	ID, To, Subject string
	Date            time.Time
	HTML            string
}

// read reads a mail from a file. Errors: an unreadable file, or a mail without HTML.
func read(file string) (mail, error) {
	f, err := os.Open(file) //nolint:gosec // the file is in the folder of mails
	if err != nil {
		return mail{}, err
	}
	defer func() { _ = f.Close() }()
	message, err := netmail.ReadMessage(f)
	if err != nil {
		return mail{}, fmt.Errorf("%s: %w", file, err)
	}
	m := mail{ID: strings.TrimSuffix(filepath.Base(file), ".eml"), To: strings.Trim(message.Header.Get("To"), "<>")}
	m.Subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
	if err != nil {
		return mail{}, fmt.Errorf("%s: the subject: %w", file, err)
	}
	if m.Date, err = message.Header.Date(); err != nil {
		return mail{}, fmt.Errorf("%s: the date: %w", file, err)
	}
	m.HTML, err = htmlOf(message)
	if err != nil {
		return mail{}, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

// htmlOf returns the HTML of a mail, whose parts are not encoded.
func htmlOf(message *netmail.Message) (string, error) {
	_, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	for parts := multipart.NewReader(message.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return "", errors.New("the mail has no HTML")
		}
		if err != nil {
			return "", err
		}
		if typ, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); typ == "text/html" {
			content, err := io.ReadAll(part)
			return string(content), err
		}
	}
}
