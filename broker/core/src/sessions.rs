//! The sessions of a shard, found by place, by name and by number.

use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

use crate::client_keys::BuildClientKeyHasher;
use crate::id_map::BuildIdHasher;
use crate::session::Session;
use crate::session_key::{SessionId, SessionKey};
use crate::slab::Slab;

/// A table of places alone: the sessions know their names and numbers, which never change.
#[derive(Debug)]
pub(crate) struct Sessions {
    slab: Slab<Session>,
    by_key: HashTable<u32>,
    by_id: HashTable<u32>,
    /// Clients choose the keys: SipHash.
    key_hasher: BuildClientKeyHasher,
    id_hasher: BuildIdHasher,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            slab: Slab::new(),
            by_key: HashTable::new(),
            by_id: HashTable::new(),
            key_hasher: BuildClientKeyHasher::new(),
            id_hasher: BuildIdHasher::default(),
        }
    }

    /// Puts a session, whose name and number no other has, somewhere and says where.
    pub(crate) fn insert(&mut self, session: Session) -> u32 {
        let Self { slab, by_key, by_id, key_hasher, id_hasher } = self;
        let (of_key, of_id) = (key_hasher.hash_one(&session.key), id_hasher.hash_one(session.id));
        let place = slab.insert(session);
        by_key.insert_unique(of_key, place, |place| hash_at(slab, *place, key_hasher, |session| &session.key));
        by_id.insert_unique(of_id, place, |place| hash_at(slab, *place, id_hasher, |session| &session.id));
        place
    }

    pub(crate) fn get(&self, place: u32) -> Option<&Session> {
        self.slab.get(place)
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut Session> {
        self.slab.get_mut(place)
    }

    pub(crate) fn remove(&mut self, place: u32) -> Option<Session> {
        let session = self.slab.remove(place)?;
        for (table, hash) in [
            (&mut self.by_key, self.key_hasher.hash_one(&session.key)),
            (&mut self.by_id, self.id_hasher.hash_one(session.id)),
        ] {
            if let Ok(found) = table.find_entry(hash, |other| *other == place) {
                found.remove();
            }
        }
        Some(session)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Every session with its place, in the order of the places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Session)> {
        self.slab.iter()
    }

    /// The place of the session with this name.
    pub(crate) fn place_of(&self, key: &SessionKey) -> Option<u32> {
        let is_it = |place: &u32| self.slab.get(*place).is_some_and(|session| session.key == *key);
        self.by_key.find(self.key_hasher.hash_one(key), is_it).copied()
    }

    /// The place of the session with this number.
    pub(crate) fn place_of_id(&self, id: SessionId) -> Option<u32> {
        let is_it = |place: &u32| self.slab.get(*place).is_some_and(|session| session.id == id);
        self.by_id.find(self.id_hasher.hash_one(id), is_it).copied()
    }
}

/// The hash under which a session is in a table; each place in a table has a session.
fn hash_at<K: Hash>(
    slab: &Slab<Session>,
    place: u32,
    hasher: &impl BuildHasher,
    key_of: impl Fn(&Session) -> &K,
) -> u64 {
    slab.get(place).map_or(0, |session| hasher.hash_one(key_of(session)))
}
