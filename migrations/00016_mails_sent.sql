-- The mails that the mailer has sent, by the id of their event, so that a duplicate of the event sends no second mail.

-- +goose Up

CREATE TABLE mails_sent (
    event_id   uuid        PRIMARY KEY,
    claimed_at timestamptz NOT NULL DEFAULT now(), -- by the process that sends the mail
    sent_at    timestamptz                         -- NULL: not yet, or the process has died
);
CREATE INDEX mails_sent_claimed_at ON mails_sent (claimed_at);

-- +goose Down

DROP TABLE mails_sent;
