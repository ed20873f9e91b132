package zfs

import (
	"encoding/binary"

	"diskwright/filesystem/zfs/ondisk"
)

// The history is a ring of records, of which `zpool history` shows those with a
// command. The first stays for ever: that which made the pool.

// Limits of the ring: a thousandth of the pool (spa_history_create_obj).
const (
	minHistory = 128 << 10
	maxHistory = 1 << 30

	historyCommand = "diskwright"
	historyHost    = "diskwright"
)

// history writes the history of a new pool.
func (m *mos) history() uint64 {
	record := ondisk.NVList{
		{Name: "history time", Value: uint64(max(m.pool.opts.Epoch, 0))},
		{Name: "history command", Value: historyCommand + " " + m.pool.opts.Name},
		{Name: "history who", Value: uint64(0)}, // root
		{Name: "history hostname", Value: historyHost},
	}.Encode()
	data := append(binary.LittleEndian.AppendUint64(nil, uint64(len(record))), record...)
	length := uint64(len(data))
	d := ondisk.DNode{Type: ondisk.TypeHistory, BlockSize: packedBlockSize, BonusType: ondisk.TypeHistoryOffsets}
	// spa_history_phys_t: length of the record that stays, size of the ring,
	// its beginning and end in bytes ever written, records lost.
	for _, v := range []uint64{length, uint64(min(max(m.pool.usable()/1000, minHistory), maxHistory)), length, length, 0} {
		d.Bonus = binary.LittleEndian.AppendUint64(d.Bonus, v)
	}
	m.fill(&d, data)
	object := m.object()
	m.set(object, d)
	return object
}
