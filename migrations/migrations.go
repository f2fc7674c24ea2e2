// Package migrations embeds the SQL files of the schema for goose.
//
// Migrations run while replicas serve requests. A lock that conflicts with the statements of requests (SHARE or stronger, as ALTER TABLE
// and a foreign key take) follows two rules, which test/chaos checks:
//
//   - The transaction sets lock_timeout to 200ms, because later requests wait behind a statement that waits for its lock. The migrator
//     tries again.
//   - The transaction locks only one existing table. With a second one, it could get into a deadlock with a request.
//
// A migration that needs several transactions has the annotation NO TRANSACTION and can be repeated.
package migrations

import "embed"

// FS holds the migrations, named NNNNN_what.sql in the order in which they run.
//
//go:embed *.sql
var FS embed.FS
