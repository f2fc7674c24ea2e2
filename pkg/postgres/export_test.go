package postgres

// Reset closes all connections, so that the next query needs a new one.
func (db *DB) Reset() {
	db.pool.Reset()
	db.logins.Reset()
	db.probe.drop()
}

// HashCostsQuery is what reads the imported hashes.
var HashCostsQuery = hashCostsQuery
