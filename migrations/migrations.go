// Package migrations embeds the SQL files of the schema for goose.
//
// Migrations run while replicas serve requests. ALTER TABLE, a foreign key and CREATE INDEX lock a table in a mode that conflicts with
// requests. A transaction with such a lock follows two rules, which test/chaos checks:
//
//   - It sets lock_timeout to 200ms, because later requests wait behind a statement that waits for its lock. The migrator tries again.
//   - It locks only one existing table in this way. With a second table, a deadlock with a request would be possible.
//
// A migration that needs several transactions has the annotation NO TRANSACTION and can be repeated.
package migrations

import "embed"

// FS holds the migrations, named NNNNN_what.sql in the order in which they run.
//
//go:embed *.sql
var FS embed.FS
