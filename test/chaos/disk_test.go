package chaos_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// diskSize is larger than the outbox and small enough to be filled quickly.
const diskSize = "16m"

// disk is a small file system that holds only the outbox.
type disk struct{ dir string }

// mountable returns nil if the test can mount a file system.
var mountable = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "user-service-disk-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(dir) }()
	if err := mount(dir); err != nil {
		return err
	}
	return unmount(dir)
})

func mount(dir string) error {
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+diskSize, "tmpfs", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount a file system: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func unmount(dir string) error {
	if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unmount a file system: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
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
	if err := mount(dir); err != nil {
		t.Fatal(err)
	}
	cleanUp(t, func() {
		if err := unmount(dir); err != nil {
			t.Log(err)
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
func (d *disk) empty() error { return os.Remove(d.file()) }

func (d *disk) file() string { return filepath.Join(d.dir, "full") }
