package chart_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	releaseRepository = "ghcr.io/example/user-service"
	releaseDigest     = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// TestAPublishedChartInstallsTheImageByItsDigest packages the chart as the release workflow does.
func TestAPublishedChartInstallsTheImageByItsDigest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, err := exec.Command(".ci/package-chart", "9.8.7", releaseRepository, releaseDigest, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file := filepath.Join(dir, "user-service-9.8.7.tgz")
	objects := run(t, nil, "helm", "template", "accounts", file, "--values", base)
	images := 0
	for line := range strings.Lines(objects) {
		image, ok := strings.CutPrefix(strings.TrimSpace(line), "image: ")
		if !ok {
			continue
		}
		images++
		if image = strings.Trim(image, `"`); image != releaseRepository+"@"+releaseDigest {
			t.Errorf("the chart installs %s, want the image by its digest", image)
		}
	}
	if images == 0 {
		t.Errorf("the chart has %d images:\n%s", images, objects)
	}

	about := parse[struct {
		Version, AppVersion string
		Annotations         map[string]string
	}](t, []byte(run(t, nil, "helm", "show", "chart", file)))
	if about.Version != "9.8.7" || about.AppVersion != "9.8.7" {
		t.Errorf("the versions of the chart and of the program are %s and %s, want 9.8.7", about.Version, about.AppVersion)
	}
	if list := about.Annotations["artifacthub.io/images"]; !strings.Contains(list, releaseRepository+":9.8.7@"+releaseDigest+"\n") {
		t.Errorf("Artifact Hub is told the images\n%s", list)
	}
}

func TestAChartIsNotPackagedWithoutADigest(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command(".ci/package-chart", "9.8.7", releaseRepository, "", t.TempDir()).CombinedOutput(); err == nil {
		t.Errorf("a chart without a digest is packaged: %s", out)
	}
}
