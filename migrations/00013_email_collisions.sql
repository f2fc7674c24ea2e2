-- Accounts that have the same email as another account, by the rules of the next migration, which recomputes the keys.

-- +goose Up

SET LOCAL lock_timeout = '200ms'; -- the foreign key locks users
CREATE TABLE email_collisions (
    user_id   uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE, -- has another key, so its email does not find it
    holder_id uuid NOT NULL                                       -- the account with the key of the email
);

-- +goose Down

DROP TABLE email_collisions;
