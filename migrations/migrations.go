// Package migrations embeds the SQL files of the schema for goose.
package migrations

import "embed"

// FS holds the migrations, named NNNNN_what.sql in the order in which they run.
//
//go:embed *.sql
var FS embed.FS
