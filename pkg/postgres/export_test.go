package postgres

// Reset closes all connections, so that the next query needs a new one.
func (db *DB) Reset() {
	db.replace()
	db.probe.drop()
}

// HashCostsQuery is what reads the imported hashes.
var HashCostsQuery = hashCostsQuery
