package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// probeInterval is the time between two requests.
const probeInterval = time.Second

func probeCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "probe URL...",
		Short: "Request URLs until each responds with 200",
		Long: "probe requests each URL until it responds with 200, and fails if that takes longer than --timeout.\n" +
			"It is for images without a shell, such as this program's own.",
		Example: "  user-service probe --timeout 30s http://user-service/readyz",
		RunE: func(cmd *cobra.Command, urls []string) error {
			if err := checkURLs(urls); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			for _, u := range urls {
				if err := probe(ctx, u); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s answers\n", u)
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "time limit for all URLs together")
	return cmd
}

func checkURLs(urls []string) error {
	if len(urls) == 0 {
		return usageError{errors.New("give the URLs to request, such as http://localhost:8080/readyz")}
	}
	for _, u := range urls {
		if parsed, err := url.Parse(u); err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
			return usageError{fmt.Errorf("%q is not a URL such as http://localhost:8080/readyz", u)}
		}
	}
	return nil
}

// probe sends requests until the status is 200. If ctx ends first, the error contains the last result.
func probe(ctx context.Context, target string) error {
	for {
		err := get(ctx, target)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer with 200: %w", target, err)
		case <-time.After(probeInterval):
		}
	}
}

func get(ctx context.Context, target string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
