package zfs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"diskwright/filesystem/zfs/ondisk"
)

// feature is something that a pool may have which not every OpenZFS knows
// (spa_feature_t). A pool lists those that are enabled, with how many things in it
// use them: none means that a feature may be used, and keeps nobody from reading the
// pool.
type feature int

// All features of OpenZFS 2.3. Those below the blank line can be active in pools of
// this package; the others are only enabled.
const (
	featureAsyncDestroy feature = iota
	featureAllocationClasses
	featureBlake3
	featureBlockCloning
	featureBookmarkV2
	featureBookmarkWritten
	featureBookmarks
	featureDeviceRebuild
	featureDeviceRemoval
	featureDRAID
	featureEdonR
	featureEncryption
	featureFastDedup
	featureFilesystemLimits
	featureLargeDNode
	featureLargeMicroZAP
	featureLivelist
	featureLogSpacemap
	featureLongname
	featureMultiVdevCrashDump
	featureObsoleteCounts
	featureRAIDZExpansion
	featureRedactedDatasets
	featureRedactionBookmarks
	featureRedactionListSpill
	featureResilverDefer
	featureSkein
	featureVdevZAPsV2
	featureZILSAXattr
	featureZpoolCheckpoint

	featureEmbeddedData
	featureEmptyBPObj
	featureEnabledTXG
	featureExtensibleDataset
	featureHeadErrlog
	featureHoleBirth
	featureLargeBlocks
	featureLZ4
	featureProjectQuota
	featureSHA512
	featureSpacemapHistogram
	featureSpacemapV2
	featureUserObjAccounting
	featureZstd
	featureCount
)

// featureInfo is what there is to know of a feature (zfeature_common.c). What
// features are called in properties is the part of the GUID behind the colon.
type featureInfo struct {
	guid string
	what string // that it is, for whoever does not know it
	featureFlags
	needs []feature
}

type featureFlags uint8

const (
	// readOnly: whoever does not know the feature can read the pool, but not
	// write (READONLY_COMPAT). It is listed in features_for_write.
	readOnly featureFlags = 1 << iota
	// inLabel: needed to read the MOS, so labels list it where it is active
	// (MOS).
	inLabel
	// onEnable: active as soon as it is enabled (ACTIVATE_ON_ENABLE).
	onEnable
	// perDataset: what uses it is datasets, which list it themselves.
	perDataset
)

var extensible = []feature{featureExtensibleDataset}

var featureTable = [featureCount]featureInfo{
	featureAsyncDestroy:       {"com.delphix:async_destroy", "destroyed file systems are freed little by little", readOnly, nil},
	featureAllocationClasses:  {"org.zfsonlinux:allocation_classes", "devices for some kinds of blocks only", readOnly, nil},
	featureBlake3:             {"org.openzfs:blake3", "checksums by BLAKE3", perDataset, extensible},
	featureBlockCloning:       {"com.fudosecurity:block_cloning", "files may share blocks", readOnly, nil},
	featureBookmarkV2:         {"com.datto:bookmark_v2", "bookmarks of a larger kind", 0, []feature{featureExtensibleDataset, featureBookmarks}},
	featureBookmarkWritten:    {"com.delphix:bookmark_written", "bookmarks know how much was written since", 0, []feature{featureBookmarkV2, featureExtensibleDataset, featureBookmarks}},
	featureBookmarks:          {"com.delphix:bookmarks", "marks to send from, without a snapshot", readOnly, extensible},
	featureDeviceRebuild:      {"org.openzfs:device_rebuild", "mirrors are rebuilt in the order of the device", readOnly, nil},
	featureDeviceRemoval:      {"com.delphix:device_removal", "devices can be taken out of the pool", inLabel, nil},
	featureDRAID:              {"org.openzfs:draid", "RAID with distributed spares", inLabel, nil},
	featureEdonR:              {"org.illumos:edonr", "checksums by Edon-R", perDataset, extensible},
	featureEncryption:         {"com.datto:encryption", "encrypted file systems", perDataset, []feature{featureExtensibleDataset, featureBookmarkV2}},
	featureFastDedup:          {"com.klarasystems:fast_dedup", "deduplication by a log", readOnly, nil},
	featureFilesystemLimits:   {"com.joyent:filesystem_limits", "limits to how many file systems and snapshots there are", readOnly, extensible},
	featureLargeDNode:         {"org.zfsonlinux:large_dnode", "dnodes of more than 512 bytes", perDataset, extensible},
	featureLargeMicroZAP:      {"com.klarasystems:large_microzap", "micro ZAPs of more than 128 KiB", perDataset | readOnly, []feature{featureExtensibleDataset, featureLargeBlocks}},
	featureLivelist:           {"com.delphix:livelist", "clones remember their own blocks, to be destroyed faster", readOnly, extensible},
	featureLogSpacemap:        {"com.delphix:log_spacemap", "what is allocated is logged for all metaslabs at once", readOnly, []feature{featureSpacemapV2}},
	featureLongname:           {"org.zfsonlinux:longname", "names of more than 255 bytes", perDataset, extensible},
	featureMultiVdevCrashDump: {"com.joyent:multi_vdev_crash_dump", "crash dumps on pools of several devices", 0, nil},
	featureObsoleteCounts:     {"com.delphix:obsolete_counts", "removed devices forget what is not used any more", readOnly, []feature{featureExtensibleDataset, featureDeviceRemoval}},
	featureRAIDZExpansion:     {"org.openzfs:raidz_expansion", "RAID-Z that grows by a device", inLabel, nil},
	featureRedactedDatasets:   {"com.delphix:redacted_datasets", "file systems received with parts left out", perDataset, extensible},
	featureRedactionBookmarks: {"com.delphix:redaction_bookmarks", "bookmarks that know what to leave out", 0, []feature{featureBookmarkV2, featureExtensibleDataset, featureBookmarks}},
	featureRedactionListSpill: {"com.delphix:redaction_list_spill", "longer lists of what to leave out", 0, []feature{featureRedactionBookmarks}},
	featureResilverDefer:      {"com.datto:resilver_defer", "a resilver waits for the one before", readOnly, nil},
	featureSkein:              {"org.illumos:skein", "checksums by Skein", perDataset, extensible},
	featureVdevZAPsV2:         {"com.klarasystems:vdev_zaps_v2", "properties of the root of all devices", inLabel, nil},
	featureZILSAXattr:         {"org.openzfs:zilsaxattr", "extended attributes in the intent log", perDataset | readOnly, extensible},
	featureZpoolCheckpoint:    {"com.delphix:zpool_checkpoint", "the pool can be set back to a checkpoint", readOnly, nil},

	featureEmbeddedData:      {"com.delphix:embedded_data", "small blocks lie in pointers", inLabel | onEnable, nil},
	featureEmptyBPObj:        {"com.delphix:empty_bpobj", "datasets share their empty lists of blocks", readOnly, nil},
	featureEnabledTXG:        {"com.delphix:enabled_txg", "when features were enabled is known", readOnly, nil},
	featureExtensibleDataset: {"com.delphix:extensible_dataset", "datasets list what they use", 0, nil},
	featureHeadErrlog:        {"com.delphix:head_errlog", "errors are logged by file system", onEnable, nil},
	featureHoleBirth:         {"com.delphix:hole_birth", "holes have a time of birth", inLabel | onEnable, []feature{featureEnabledTXG}},
	featureLargeBlocks:       {"org.open-zfs:large_blocks", "blocks of more than 128 KiB", perDataset, extensible},
	featureLZ4:               {"org.illumos:lz4_compress", "compression by LZ4", onEnable, nil},
	featureProjectQuota:      {"org.zfsonlinux:project_quota", "accounts and quotas of projects", perDataset | readOnly, extensible},
	featureSHA512:            {"org.illumos:sha512", "checksums by SHA-512/256", perDataset, extensible},
	featureSpacemapHistogram: {"com.delphix:spacemap_histogram", "space maps know the sizes of what is free", readOnly, nil},
	featureSpacemapV2:        {"com.delphix:spacemap_v2", "longer entries of space maps", readOnly | onEnable, nil},
	featureUserObjAccounting: {"org.zfsonlinux:userobj_accounting", "accounts and quotas of objects", perDataset | readOnly, extensible},
	featureZstd:              {"org.freebsd:zstd_compress", "compression by Zstandard", perDataset, extensible},
}

func (f feature) info() *featureInfo { return &featureTable[f] }

// String returns the name that properties have for the feature.
func (f feature) String() string {
	guid := f.info().guid
	return guid[strings.IndexByte(guid, ':')+1:]
}

func (f feature) is(flag featureFlags) bool { return f.info().featureFlags&flag != 0 }

// featureNamed returns the feature of a name.
func featureNamed(name string) (feature, bool) {
	for f := range featureCount {
		if f.String() == name {
			return f, true
		}
	}
	return 0, false
}

// Sets of features that are not lists of names.
const (
	// setMinimal has what the content of the pool needs and nothing else.
	setMinimal = "minimal"
	// setLegacy has nothing.
	setLegacy = "legacy"
)

// setAliases are names that OpenZFS does not have: of versions whose sets differ by
// system. They mean those of Linux.
var setAliases = map[string]string{"openzfs-2.0": "openzfs-2.0-linux", "openzfs-2.1": "openzfs-2.1-linux"}

// compatibilitySets are the sets that OpenZFS 2.3 installs in compatibility.d, each
// as what it has more than another.
var compatibilitySets = []struct{ name, base, more string }{
	{"zol-0.6.1", setLegacy, "async_destroy empty_bpobj lz4_compress"},
	{"zol-0.6.4", "zol-0.6.1", "bookmarks embedded_data enabled_txg extensible_dataset hole_birth spacemap_histogram"},
	{"zol-0.6.5", "zol-0.6.4", "filesystem_limits large_blocks"},
	{"compat-2018", "zol-0.6.5", ""},
	{"2018", "compat-2018", ""},
	{"freenas-9.10.2", "zol-0.6.5", "multi_vdev_crash_dump"},
	{"compat-2019", "freenas-9.10.2", "sha512 skein"},
	{"2019", "compat-2019", ""},
	{"compat-2020", "compat-2019", ""},
	{"2020", "compat-2020", ""},
	{"freebsd-11.0", "compat-2019", ""},
	{"freebsd-11.1", "compat-2019", ""},
	{"freenas-11.0", "compat-2019", ""},
	{"freenas-11.1", "compat-2019", ""},
	{"openzfsonosx-1.7.0", "compat-2019", "edonr"},
	{"freebsd-11.2", "compat-2019", "device_removal obsolete_counts zpool_checkpoint"},
	{"freenas-11.2", "freebsd-11.2", ""},
	{"zol-0.7", "openzfsonosx-1.7.0", "large_dnode userobj_accounting"},
	{"ubuntu-18.04", "zol-0.7", ""},
	{"compat-2021", "freebsd-11.2", "spacemap_v2"},
	{"2021", "compat-2021", ""},
	{"freebsd-11.3", "compat-2021", ""},
	{"freebsd-11.4", "compat-2021", ""},
	{"freenas-11.3", "compat-2021", ""},
	{"freebsd-12.0", "compat-2021", ""},
	{"freebsd-12.1", "compat-2021", ""},
	{"freebsd-12.2", "compat-2021", ""},
	{"freebsd-12.3", "compat-2021", ""},
	{"freebsd-12.4", "compat-2021", ""},
	{"openzfsonosx-1.8.1", "compat-2021", "edonr"},
	{"zol-0.8", "openzfsonosx-1.8.1", "allocation_classes bookmark_v2 encryption large_dnode project_quota resilver_defer userobj_accounting"},
	{"openzfsonosx-1.9.3", "zol-0.8", ""},
	{"openzfsonosx-1.9.4", "zol-0.8", ""},
	{"ubuntu-20.04", "zol-0.8", ""},
	{"openzfs-2.0-freebsd", "compat-2021", "allocation_classes bookmark_v2 bookmark_written device_rebuild encryption large_dnode livelist log_spacemap " +
		"project_quota redacted_datasets redaction_bookmarks resilver_defer userobj_accounting zstd_compress"},
	{"truenas-12.0", "openzfs-2.0-freebsd", ""},
	{"openzfs-2.0-linux", "openzfs-2.0-freebsd", "edonr"},
	{"openzfs-2.1-freebsd", "openzfs-2.0-freebsd", "draid"},
	{"freebsd-13.0", "openzfs-2.1-freebsd", ""},
	{"freebsd-13.1", "openzfs-2.1-freebsd", ""},
	{"freebsd-13.2", "openzfs-2.1-freebsd", ""},
	{"openzfs-2.1-linux", "openzfs-2.0-linux", "draid"},
	{"ubuntu-22.04", "openzfs-2.1-linux", ""},
	{"openzfs-2.2", "openzfs-2.1-linux", "blake3 block_cloning head_errlog vdev_zaps_v2 zilsaxattr"},
	{"openzfs-2.2-linux", "openzfs-2.2", ""},
	{"openzfs-2.2-freebsd", "openzfs-2.2", ""},
	{"openzfs-2.3", "openzfs-2.2", "fast_dedup large_microzap longname raidz_expansion redaction_list_spill"},
	{"openzfs-2.3-linux", "openzfs-2.3", ""},
	{"openzfs-2.3-freebsd", "openzfs-2.3", ""},
	{"grub2-2.06", setLegacy, "allocation_classes async_destroy block_cloning device_rebuild embedded_data empty_bpobj enabled_txg hole_birth " +
		"log_spacemap lz4_compress resilver_defer spacemap_histogram spacemap_v2 zpool_checkpoint"},
	{"grub2-2.12", "grub2-2.06", "bookmarks extensible_dataset filesystem_limits large_blocks livelist project_quota userobj_accounting zilsaxattr"},
	{"grub2", "grub2-2.12", ""},
}

// FeatureSets returns the names that [Options] may have for sets of features: that
// of the smallest possible first, then the others in the order of their age.
func FeatureSets() []string {
	names := []string{setMinimal}
	names = append(names, slices.Sorted(maps.Keys(setAliases))...)
	return append(names, compatibilityNames()...)
}

// compatibilityNames returns the names that the property of a pool can have.
func compatibilityNames() []string {
	names := []string{setLegacy}
	for _, s := range compatibilitySets {
		names = append(names, s.name)
	}
	return names
}

// featureSet is the features that are enabled, with how many things use each.
type featureSet struct {
	enabled map[feature]uint64

	// open says that what is needed is enabled, but for what is refused.
	open    bool
	refused map[feature]bool
}

// setNamed returns one of the sets that OpenZFS has.
func setNamed(name string) (featureSet, error) {
	s := featureSet{enabled: make(map[feature]uint64), refused: make(map[feature]bool)}
	for at := name; at != setLegacy; {
		i := slices.IndexFunc(compatibilitySets, func(c struct{ name, base, more string }) bool { return c.name == at })
		if i < 0 {
			return s, fmt.Errorf("there is no set of features %q", name)
		}
		for more := range strings.FieldsSeq(compatibilitySets[i].more) {
			f, _ := featureNamed(more)
			s.enabled[f] = 0
		}
		at = compatibilitySets[i].base
	}
	return s, nil
}

// Keys of the properties of a pool that say which features it has.
const (
	featureProperty       = "feature@" // and the name of one
	compatibilityProperty = "compatibility"
)

// newFeatureSet returns the features that are enabled in a pool: those of the set,
// or where no set is named, of the property "compatibility", changed by properties
// feature@NAME.
func newFeatureSet(name string, properties map[string]string) (s featureSet, err error) {
	compatibility := properties[compatibilityProperty]
	switch {
	case name == "" && compatibility != "" && compatibility != "off":
		s, err = commonSet(compatibility)
	case name == "" || name == setMinimal:
		s, err = setNamed(setLegacy)
		s.open = true
	default:
		if s, err = setNamed(cmp.Or(setAliases[name], name)); err != nil {
			err = fmt.Errorf("%w; there are %s", err, strings.Join(FeatureSets(), ", "))
		}
	}
	if err != nil {
		return s, err
	}
	return s, s.change(properties)
}

// commonSet returns what the sets that the property "compatibility" names, between
// commas, have in common.
func commonSet(names string) (common featureSet, err error) {
	for i, name := range strings.Split(names, ",") {
		s, err := setNamed(name)
		if err != nil {
			return s, fmt.Errorf("pool property %s: %w; there are %s", compatibilityProperty, err, strings.Join(compatibilityNames(), ", "))
		}
		if i == 0 {
			common = s
		}
		maps.DeleteFunc(common.enabled, func(f feature, _ uint64) bool { return !s.has(f) })
	}
	return common, nil
}

// change follows the properties feature@NAME. What an enabled feature needs is
// enabled as well.
func (s *featureSet) change(properties map[string]string) error {
	var asked []feature
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		name, ok := strings.CutPrefix(key, featureProperty)
		if !ok {
			continue
		}
		f, known := featureNamed(name)
		if !known {
			return fmt.Errorf("property %q: there is no such feature", key)
		}
		switch value := properties[key]; value {
		case "enabled", "active":
			asked = append(asked, f)
		case "disabled":
			delete(s.enabled, f)
			s.refused[f] = true
		default:
			return fmt.Errorf("property %q: %q is not \"enabled\", \"active\" or \"disabled\"", key, value)
		}
	}
	for f := range featureCount {
		if _, ok := s.enabled[f]; ok || slices.Contains(asked, f) {
			if err := s.enable(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// enable enables a feature and what it needs.
func (s *featureSet) enable(f feature) error {
	if s.refused[f] {
		return fmt.Errorf("feature %q is disabled", f)
	}
	for _, needed := range f.info().needs {
		if err := s.enable(needed); err != nil {
			return fmt.Errorf("feature %q: %w", f, err)
		}
	}
	if _, ok := s.enabled[f]; !ok {
		s.enabled[f] = 0
	}
	return nil
}

// has reports whether a feature is enabled.
func (s *featureSet) has(f feature) bool {
	_, ok := s.enabled[f]
	return ok
}

var errNoFeature = errors.New("the pool does not have this feature")

// need says that the pool will use a feature. It is an error if the set does not
// allow it.
func (s *featureSet) need(f feature) error {
	switch {
	case s.has(f):
		return nil
	case s.open:
		return s.enable(f)
	}
	return fmt.Errorf("feature %q: %w; it can be had by the property %s%s, or by another set of features", f, errNoFeature, featureProperty, f)
}

// use marks a feature active, which [featureSet.need] must have allowed: one of
// datasets in the one that uses it, once however often it does; others in the pool,
// as often as they are used.
func (p *pool) use(f feature, fs *fileSystem) {
	if f.is(perDataset) {
		if fs.features == nil {
			fs.features = make(map[feature]bool)
		}
		if fs.features[f] {
			return
		}
		fs.features[f] = true
	}
	p.features.enabled[f]++
}

// activate marks those features active that always are.
func (s *featureSet) activate() {
	for f := range s.enabled {
		if f.is(onEnable) {
			s.enabled[f] = 1
		}
	}
}

// labelFeatures returns what labels and the configuration say is needed to read the
// MOS.
func (s *featureSet) labelFeatures() ondisk.NVList {
	list := ondisk.NVList{}
	for f := range featureCount {
		if f.is(inLabel) && s.enabled[f] > 0 {
			list = append(list, ondisk.NVPair{Name: f.info().guid, Value: ondisk.Flag{}})
		}
	}
	return list
}

// descriptions returns what the features are that are enabled.
func (s *featureSet) descriptions() (entries []ondisk.ZAPEntry) {
	for f := range featureCount {
		if s.has(f) {
			entries = append(entries, value{text: f.info().what, isText: true}.entry(f.info().guid))
		}
	}
	return entries
}

// enabledTXGs returns when each feature was enabled, if the pool keeps that. That is
// counted as what uses the feature for it.
func (s *featureSet) enabledTXGs() (entries []ondisk.ZAPEntry) {
	if !s.has(featureEnabledTXG) {
		return nil
	}
	for f := range featureCount {
		if s.has(f) {
			entries = append(entries, number(f.info().guid, birth))
		}
	}
	s.enabled[featureEnabledTXG] = uint64(len(entries))
	return entries
}

// entries returns the features that are enabled, with how many things use each: those
// of which flag readOnly is as given.
func (s *featureSet) entries(flag featureFlags) []ondisk.ZAPEntry {
	var entries []ondisk.ZAPEntry
	for f := range featureCount {
		if s.has(f) && f.info().featureFlags&readOnly == flag {
			entries = append(entries, number(f.info().guid, s.enabled[f]))
		}
	}
	return entries
}
