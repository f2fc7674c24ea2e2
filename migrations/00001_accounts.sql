-- Accounts, their credentials, roles and sessions, and the outbox of events.

-- +goose Up

CREATE TABLE users (
    id             uuid        PRIMARY KEY, -- UUIDv7: sorts by the time of creation
    email          text        NOT NULL,    -- as the user entered it
    email_key      text        NOT NULL COLLATE "C", -- the email, case-folded by the service; unique
    email_verified boolean     NOT NULL DEFAULT false,
    name           text,
    name_key       text        COLLATE "C", -- the name, case-folded by the service; for searches by name
    picture        text,
    locale         text,
    zoneinfo       text,
    metadata       json,                    -- json, because jsonb would not return numbers as they were sent
    status         text        NOT NULL CHECK (status IN ('active', 'disabled')),
    version        bigint      NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_email_key ON users (email_key);
CREATE INDEX users_name_key ON users (name_key);
CREATE INDEX users_status ON users (status, id);

-- Separate from the profile, so that no query that returns users can read a password hash.
CREATE TABLE credentials (
    user_id       uuid        PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    password_hash text        NOT NULL,
    changed_at    timestamptz NOT NULL
);

CREATE TABLE roles (
    name        text   PRIMARY KEY,
    description text   NOT NULL DEFAULT '',
    permissions text[] NOT NULL DEFAULT '{}'
);
INSERT INTO roles (name, description, permissions) VALUES
    ('admin', 'Administers the service: every permission',
     '{users:read,users:write,users:delete,roles:read,roles:write,roles:assign,audit:read}'),
    ('user', 'Uses its own account', '{}');

CREATE TABLE user_roles (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role    text NOT NULL REFERENCES roles (name),
    PRIMARY KEY (user_id, role)
);
CREATE INDEX user_roles_role ON user_roles (role, user_id);

CREATE TABLE sessions (
    id         uuid        PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    counter    bigint      NOT NULL, -- the number of the current refresh token
    created_at timestamptz NOT NULL,
    turned_at  timestamptz NOT NULL, -- when the current refresh token was created
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user_id ON sessions (user_id);

-- Events that are not yet confirmed. They are inserted in the transaction of the change, and deleted after the broker's confirm.
-- subject has no foreign key, because deletions are events too.
CREATE TABLE outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- sorts a user's events in the order of the changes
    event_id    uuid        NOT NULL,
    type        text        NOT NULL,
    subject     uuid        NOT NULL,
    sequence    bigint      NOT NULL,
    occurred_at timestamptz NOT NULL,
    traceparent text        NOT NULL DEFAULT '',
    data        json        NOT NULL
);

-- +goose Down

DROP TABLE outbox, sessions, user_roles, roles, credentials, users;
