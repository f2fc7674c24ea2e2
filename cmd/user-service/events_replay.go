package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"user-service/pkg/user"
)

// replayFlags are the flags of events replay.
type replayFlags struct {
	since, user, after string
	rate               int
}

func eventsReplayCommand() *cobra.Command {
	var flags replayFlags
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Announce all users in their current state, for a new consumer",
		Long: "replay puts a user.snapshot event about each user into the outbox; the running service publishes them.\n" +
			"Consumers that already know a user may ignore them. To let other events through, replay pauses while 1000\n" +
			"events wait to be published. After an interruption, it prints how to continue.",
		Example: "  user-service events replay\n  user-service events replay --since 24h --rate 100\n" +
			"  user-service events replay --user ada@example.com",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withUsers(cmd, func(users *user.Service) error { return replay(cmd, users, flags) })
		},
	}
	cmd.Flags().StringVar(&flags.since, "since", "",
		"only users changed since this time (RFC 3339), or within this duration before now (24h)")
	cmd.Flags().StringVar(&flags.user, "user", "", "only the user with this email or id")
	cmd.Flags().StringVar(&flags.after, "after", "", "continue after the user with this id")
	cmd.Flags().IntVar(&flags.rate, "rate", 1000, "maximum number of users per second; 0: no limit")
	return cmd
}

func replay(cmd *cobra.Command, users *user.Service, flags replayFlags) error {
	r, err := flags.replay(cmd, users)
	if err != nil {
		return err
	}
	progress := replayProgress{progress: newCount(cmd.ErrOrStderr())}
	r.Progress = progress.show
	done, err := users.Replay(cmd.Context(), r)
	progress.end()
	if err != nil && done.Last != uuid.Nil && r.User == uuid.Nil {
		return fmt.Errorf("announce the users: %w; %d are announced, continue with --after %s", plainly(err), done.Announced, done.Last)
	}
	if err != nil {
		return fmt.Errorf("announce the users: %w", plainly(err))
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "announced %d users\n", done.Announced)
	return err
}

// replay checks the flags and returns the replay that they describe.
func (f replayFlags) replay(cmd *cobra.Command, users *user.Service) (r user.Replay, err error) {
	if r.Rate = f.rate; r.Rate < 0 {
		return r, usageError{errors.New("--rate must be 0 or more")}
	}
	if f.after != "" {
		if r.After, err = uuid.Parse(f.after); err != nil {
			return r, usageError{errors.New("--after must be the id of a user")}
		}
	}
	if f.since != "" {
		if r.Since, err = since(f.since, time.Now()); err != nil {
			return r, err
		}
	}
	if f.user != "" {
		r.User, err = findUser(cmd, users, f.user)
	}
	return r, err
}

// since parses a time, or a duration before now.
func since(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usageError{errors.New("--since must be a time such as 2026-01-31T12:00:00Z or a duration such as 24h")}
	}
	return t, nil
}

// findUser returns the id of the user with this email or id.
func findUser(cmd *cobra.Command, users *user.Service, name string) (uuid.UUID, error) {
	if id, err := uuid.Parse(name); err == nil {
		if id == uuid.Nil { // the nil UUID would mean all users
			return id, errors.New("no user has this id")
		}
		return id, nil
	}
	page, err := users.List(cmd.Context(), user.Filter{Email: name, Limit: 1})
	switch {
	case err != nil:
		return uuid.Nil, fmt.Errorf("find the user: %w", plainly(err))
	case len(page.Users) == 0:
		return uuid.Nil, errors.New("no user has this email")
	default:
		return page.Users[0].ID, nil
	}
}

// replayProgress reports the progress of a replay.
type replayProgress struct {
	*progress

	waits bool
}

func (p *replayProgress) show(now user.ReplayProgress) {
	if now.Waiting && !p.waits {
		p.say("waiting, because 1000 events wait to be published: are the service and the broker running?")
	}
	p.waits = now.Waiting
	p.move(now.Seen, now.Total)
	if p.bar == nil && now.Seen >= p.next {
		p.next = now.Seen - now.Seen%progressEvery + progressEvery
		p.say("%d of %d users, %d announced, the last is %s", now.Seen, now.Total, now.Announced, now.Last)
	}
}
