package limine

import "testing"

// FuzzParseBootImage parses programs and sources that have something like a boot
// image in them.
func FuzzParseBootImage(f *testing.F) {
	f.Add([]byte{})
	f.Add(testImage(1000))
	f.Add([]byte("{0xeb, 0x58, 0x90, 0x1FF}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		image, err := ParseBootImage(file)
		if err != nil {
			return
		}
		if len(image.sector) != sectorSize || len(image.stage2) == 0 || len(image.stage2) > maxBootImage {
			t.Fatal(len(image.sector), len(image.stage2))
		}
		if a, b := image.halves(); a+b < len(image.stage2) || a+b >= len(image.stage2)+sectorSize || a > 0xffff {
			t.Fatal(a, b, len(image.stage2))
		}
	})
}
