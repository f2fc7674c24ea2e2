-- The number of one-time tokens recently sent to a mailbox, by any account: rows remain after those accounts are erased.

-- +goose Up

CREATE TABLE token_mailboxes (
    email_hash bytea       NOT NULL, -- SHA-256 of the case-folded email
    purpose    text        NOT NULL, -- of the token, as in one_time_tokens
    sent_at    timestamptz NOT NULL
);
CREATE INDEX token_mailboxes_email_hash ON token_mailboxes (email_hash, purpose, sent_at);
CREATE INDEX token_mailboxes_sent_at ON token_mailboxes (sent_at);

-- Sets the email of a user and returns true, or returns false if another user has the email. PostgreSQL does not log a violation
-- that a function catches; otherwise its log would contain the email.
-- +goose StatementBegin
CREATE FUNCTION set_email(of_user uuid, new_email text, new_key text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE users SET email = new_email, email_key = new_key WHERE id = of_user;
    RETURN true;
EXCEPTION WHEN unique_violation THEN
    RETURN false;
END $$;
-- +goose StatementEnd

-- +goose Down

DROP FUNCTION set_email;
DROP TABLE token_mailboxes;
