package password

// computer computes hashes. Its methods are called concurrently.
type computer interface {
	// derive returns the key of the password, computed with the parameters and the salt of the hash.
	derive(hash argon2id, password string) ([]byte, error)
	// matches reports whether the stored hash belongs to the password.
	matches(s Stored, password string) (bool, error)
}

// inProcess computes hashes in this process.
type inProcess struct{}

func (inProcess) derive(hash argon2id, password string) ([]byte, error) {
	defer reclaim(hash.memoryKiB())
	return hash.derive(password), nil
}

func (inProcess) matches(s Stored, password string) (bool, error) {
	hash, err := parse(s.Hash)
	if err != nil {
		return false, err
	}
	defer reclaim(hash.memoryKiB())
	return hash.matches(password, s.Imported), nil
}
