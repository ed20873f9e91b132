package zfs

import (
	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
)

// rootTXG is the transaction group of the uberblock. Import reads again all metadata
// of the last three groups before it; there is none.
const rootTXG = birth + 4

// Values of keys of the configuration.
const (
	stateExported = 1 // POOL_STATE_EXPORTED: import needs no force, whatever the host
)

// config returns what labels and the MOS have in common, and the device.
func (p *pool) config(metaslabArray uint64) (common, device ondisk.NVList) {
	wholeDisk := uint64(0)
	if p.opts.WholeDisk {
		wholeDisk = 1
	}
	common = ondisk.NVList{
		{Name: "version", Value: uint64(ondisk.PoolVersion)},
		{Name: "name", Value: p.opts.Name},
		{Name: "state", Value: uint64(stateExported)},
		{Name: "txg", Value: uint64(birth)},
		{Name: "pool_guid", Value: p.poolGUID()},
		{Name: "errata", Value: uint64(0)},
	}
	for _, key := range []string{"comment", compatibilityProperty} {
		if v := p.poolProps[key].text; v != "" && v != "off" {
			common = append(common, ondisk.NVPair{Name: key, Value: v})
		}
	}
	common = append(common, ondisk.NVPair{Name: "vdev_children", Value: uint64(1)})
	device = ondisk.NVList{
		{Name: "type", Value: "disk"},
		{Name: "id", Value: uint64(0)},
		{Name: "guid", Value: p.deviceGUID()},
		{Name: "path", Value: p.opts.DevicePath},
		{Name: "whole_disk", Value: wholeDisk},
		{Name: "metaslab_array", Value: metaslabArray},
		{Name: "metaslab_shift", Value: uint64(p.metaslabShift)},
		{Name: "ashift", Value: uint64(p.ashift)},
		{Name: "asize", Value: uint64(p.data)},
		{Name: "is_log", Value: uint64(0)},
		{Name: "create_txg", Value: uint64(birth)},
	}
	return common, device
}

// featuresForRead is a key that labels and configuration must have, even if it is
// empty.
const featuresForRead = "features_for_read"

// poolConfig returns the configuration as the MOS has it: with the device below the
// root of all devices, whose GUID is the pool's.
func (p *pool) poolConfig(metaslabArray uint64) ondisk.NVList {
	common, device := p.config(metaslabArray)
	return append(common,
		ondisk.NVPair{Name: "vdev_tree", Value: ondisk.NVList{
			{Name: "type", Value: "root"},
			{Name: "id", Value: uint64(0)},
			{Name: "guid", Value: p.poolGUID()},
			{Name: "create_txg", Value: uint64(birth)},
			{Name: "children", Value: []ondisk.NVList{device}},
		}},
		ondisk.NVPair{Name: featuresForRead, Value: p.features.labelFeatures()})
}

// labels writes the four labels.
func (p *pool) labels(root ondisk.BlockPointer, metaslabArray uint64) error {
	common, device := p.config(metaslabArray)
	list := append(common,
		ondisk.NVPair{Name: "top_guid", Value: p.deviceGUID()},
		ondisk.NVPair{Name: "guid", Value: p.deviceGUID()},
		ondisk.NVPair{Name: "vdev_tree", Value: device},
		ondisk.NVPair{Name: featuresForRead, Value: p.features.labelFeatures()})
	u := &ondisk.Uberblock{
		TXG:       rootTXG,
		GUIDSum:   p.poolGUID() + p.deviceGUID(),
		Timestamp: uint64(max(p.opts.Epoch, 0)),
		Root:      root,
	}
	for i := range ondisk.Labels {
		offset := ondisk.LabelOffset(p.device, i)
		at, data, err := ondisk.Label(offset, list, u, p.ashift)
		if err != nil {
			return err
		}
		p.disk.Place(offset+int64(at), content.Bytes(data))
	}
	return nil
}
