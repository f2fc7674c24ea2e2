-- Accounts with the email of another account by the rules of the next migration, which computes the keys again.

-- +goose Up

CREATE TABLE email_collisions (
    user_id   uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE, -- keeps a key of its own, so that nobody logs in with its email
    holder_id uuid NOT NULL                                       -- has the email
);

-- +goose Down

DROP TABLE email_collisions;
