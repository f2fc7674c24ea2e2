package chaos_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// diskSize is larger than the outbox and small enough to be filled quickly.
const diskSize = "16m"

// disk is a small file system that holds only the outbox. If the test can't mount one, fill does nothing.
type disk struct {
	dir     string
	mounted bool
}

// newDisk moves the outbox to a separate file system.
func newDisk(t *testing.T, r *rig) *disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "user-service-disk-")
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{dir: dir}
	cleanUp(t, func() { _ = os.RemoveAll(dir) })
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+diskSize, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Logf("no file system can be mounted, so the disk never gets full: %v: %s", err, out)
		return d
	}
	d.mounted = true
	cleanUp(t, func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Logf("unmount a file system: %v: %s", err, out)
		}
	})
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, as := programOf(t, r.primary); as != nil {
		if err := os.Chown(data, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	err = r.sql(context.Background(), `CREATE TABLESPACE small LOCATION '`+data+`'`, `ALTER TABLE outbox SET TABLESPACE small`)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fill fills the file system and returns the number of bytes written.
func (d *disk) fill() (filled int64, err error) {
	if !d.mounted {
		return 0, nil
	}
	f, err := os.Create(d.file())
	if err != nil {
		return 0, fmt.Errorf("fill a file system: %w", err)
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(page)
		filled += int64(len(page))
	}
	return filled, nil
}

// empty frees the space again.
func (d *disk) empty() error {
	if !d.mounted {
		return nil
	}
	return os.Remove(d.file())
}

func (d *disk) file() string { return filepath.Join(d.dir, "full") }
