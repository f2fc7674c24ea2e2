-- Accounts whose email another account has, by the rules of the next migration, which makes the keys anew.

-- +goose Up

CREATE TABLE email_collisions (
    user_id   uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE, -- keeps a key of its own, so that nobody logs in with its email
    holder_id uuid NOT NULL                                       -- has the email
);

-- +goose Down

DROP TABLE email_collisions;
