//! What a journal of operations may have left on the platter when the power went.

use std::collections::BTreeMap;

use super::{Dice, Image};

const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug)]
pub enum Op {
    Create {
        name: String,
        file: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    SyncDir,
    Write {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    Sync {
        file: usize,
    },
    /// Afterwards the pages are clean; which sectors were written is up to chance.
    FailedSync {
        file: usize,
        seed: u64,
    },
}

/// How much of what was not synced survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    Everything,
    /// Each sector as of some moment since its last sync, some of them torn between two moments.
    Chance,
}

#[derive(Clone, Debug, Default)]
struct PlatterFile {
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug, Default)]
pub struct Platter {
    names: BTreeMap<String, usize>,
    names_pending: Vec<Op>,
    files: Vec<PlatterFile>,
}

impl Platter {
    /// The state before the journal: the image the disk was made from, all of it durable.
    pub fn new(image: &Image) -> Platter {
        let names = image.keys().cloned().zip(0..).collect();
        let files = image.values().map(|content| PlatterFile { durable: content.clone(), pending: Vec::new() }).collect();
        Platter { names, names_pending: Vec::new(), files }
    }

    /// One more operation has happened.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { .. } => {
                self.files.push(PlatterFile::default());
                self.names_pending.push(op.clone());
            }
            Op::Rename { .. } | Op::Remove { .. } => self.names_pending.push(op.clone()),
            Op::SyncDir => {
                for op in std::mem::take(&mut self.names_pending) {
                    rename(&mut self.names, &op);
                }
            }
            Op::Write { file, offset, bytes } => self.files[*file].pending.push((*offset, bytes.clone())),
            Op::Sync { file } => {
                let file = &mut self.files[*file];
                file.durable = file.left(Kept::Everything, &mut Dice::new(0));
                file.pending.clear();
            }
            Op::FailedSync { file, seed } => {
                let file = &mut self.files[*file];
                file.durable = file.left(Kept::Chance, &mut Dice::new(*seed));
                file.pending.clear();
            }
        }
    }

    /// A state in which a power loss now may leave the disk.
    pub fn crash(&self, kept: Kept, dice: &mut Dice) -> Image {
        let mut names = self.names.clone();
        for op in &self.names_pending {
            let happened = match kept {
                Kept::Nothing => false,
                Kept::Everything => true,
                Kept::Chance => dice.chance(60),
            };
            if happened {
                rename(&mut names, op);
            }
        }
        names.into_iter().map(|(name, file)| (name, self.files[file].left(kept, dice))).collect()
    }
}

fn rename(names: &mut BTreeMap<String, usize>, op: &Op) {
    match op {
        Op::Create { name, file } => {
            names.insert(name.clone(), *file);
        }
        Op::Remove { name } => {
            names.remove(name);
        }
        Op::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        _ => {}
    }
}

impl PlatterFile {
    fn left(&self, kept: Kept, dice: &mut Dice) -> Vec<u8> {
        let mut content = self.durable.clone();
        match kept {
            Kept::Nothing => {}
            Kept::Everything => {
                for (offset, bytes) in &self.pending {
                    put(&mut content, *offset, bytes);
                }
            }
            Kept::Chance => self.scatter(&mut content, dice),
        }
        content
    }

    /// Each sector stops at its own moment.
    fn scatter(&self, content: &mut Vec<u8>, dice: &mut Dice) {
        let mut writes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, (offset, bytes)) in self.pending.iter().enumerate() {
            for sector in offset / SECTOR_BYTES..=(offset + bytes.len() - 1) / SECTOR_BYTES {
                writes.entry(sector).or_default().push(at);
            }
        }
        let zeal = [20, 50, 80, 95][dice.below(4) as usize];
        for (sector, writes) in writes {
            let moment =
                |dice: &mut Dice| if dice.chance(zeal) { writes.len() } else { dice.below(writes.len() as u64 + 1) as usize };
            let early = moment(dice);
            self.replay(content, sector, &writes[..early], SECTOR_BYTES);
            if early < writes.len() && dice.chance(25) {
                // Torn: the beginning of the sector is of a later moment than its end.
                let late = early + 1 + dice.below((writes.len() - early) as u64) as usize;
                // A word is never torn.
                let tear = dice.below(SECTOR_BYTES as u64 / 8) as usize * 8;
                self.replay(content, sector, &writes[early..late], tear);
            }
        }
    }

    /// Replays writes upon the first `bytes_max` bytes of one sector.
    fn replay(&self, content: &mut Vec<u8>, sector: usize, writes: &[usize], bytes_max: usize) {
        let (from, to) = (sector * SECTOR_BYTES, sector * SECTOR_BYTES + bytes_max);
        for &at in writes {
            let (offset, bytes) = &self.pending[at];
            let (start, end) = (from.max(*offset), to.min(offset + bytes.len()));
            if start < end {
                put(content, start, &bytes[start - offset..end - offset]);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}
