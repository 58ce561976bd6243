//! A trie over the levels of topics or filters, in one arena. The topic index keeps filters in it, the retained store topics.
//!
//! - A level is interned: the trie compares numbers. Edges are one map from (node, level) to node, so that a node costs a few words and a
//!   level with a million children is as fast as one with three.
//! - Topics and filters that start with `$` have a root of their own, which no wildcard leads to. [MQTT-4.7.2-1]
//! - All walks are loops over a stack of their own: the depth of an input never becomes the depth of a call.
#![expect(
    clippy::indexing_slicing,
    reason = "node numbers come from this arena alone; each is checked where it is made"
)]

use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::{AbsentEntry, OccupiedEntry};

use crate::client_keys::BuildClientKeyHasher;
use crate::id_map::BuildIdHasher;
use crate::slab::NONE;

/// Where a path ends.
pub(crate) type NodeId = u32;

/// The root of what does not start with `$`.
const ROOT: NodeId = 0;
/// The root of what does.
const DOLLAR_ROOT: NodeId = 1;

/// The level `+`.
const PLUS: u32 = 0;
/// The level `#`.
const HASH: u32 = 1;
/// The first number for any other level.
const LEVEL_FIRST: u32 = 2;

/// Marks a node whose whole subtree is meant.
const SUBTREE: usize = usize::MAX;

/// Paths with a value at some of their ends.
pub(crate) struct Trie<T> {
    nodes: Vec<Node<T>>,
    free: Vec<NodeId>,
    /// `#` below a node is not among its edges or children: the node names it itself, and so for `+`. Nor is an only child among the edges.
    /// A table of nodes alone, which know where they hang.
    edges: HashTable<NodeId>,
    levels: Levels,
    /// Reused by every walk.
    walk: Walk,
}

struct Node<T> {
    parent: NodeId,
    level: u32,
    plus: NodeId,
    hash: NodeId,
    first_child: NodeId,
    /// The level of the first child, when there is no other: most nodes have one or none, and it is found without the map of edges.
    only_level: u32,
    next: NodeId,
    previous: NodeId,
    value: Option<T>,
}

#[derive(Default)]
struct Walk {
    levels: Vec<u32>,
    stack: Vec<(NodeId, usize)>,
}

impl<T> Node<T> {
    const fn new(parent: NodeId, level: u32) -> Self {
        Self {
            parent,
            level,
            plus: NONE,
            hash: NONE,
            first_child: NONE,
            only_level: NONE,
            next: NONE,
            previous: NONE,
            value: None,
        }
    }

    fn is_unused(&self) -> bool {
        self.value.is_none() && self.first_child == NONE && self.plus == NONE && self.hash == NONE
    }
}

impl<T> Trie<T> {
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![Node::new(NONE, NONE), Node::new(NONE, NONE)],
            free: Vec::new(),
            edges: HashTable::new(),
            levels: Levels::default(),
            walk: Walk::default(),
        }
    }

    /// The node at the end of a path, made when it is not there.
    pub(crate) fn insert(&mut self, path: &str) -> NodeId {
        let mut node = root_of(path);
        for text in path.split('/') {
            let level = self.levels.intern(text);
            node = match self.child(node, level) {
                Some(child) => child,
                None => self.add_child(node, level),
            };
        }
        node
    }

    /// The node at the end of a path.
    pub(crate) fn find(&self, path: &str) -> Option<NodeId> {
        let mut node = root_of(path);
        for text in path.split('/') {
            node = self.child(node, self.levels.find(text)?)?;
        }
        Some(node)
    }

    pub(crate) fn value(&self, node: NodeId) -> Option<&T> {
        self.nodes.get(node as usize)?.value.as_ref()
    }

    pub(crate) fn value_mut(&mut self, node: NodeId) -> Option<&mut T> {
        self.nodes.get_mut(node as usize)?.value.as_mut()
    }

    pub(crate) fn set(&mut self, node: NodeId, value: T) -> Option<T> {
        self.nodes.get_mut(node as usize)?.value.replace(value)
    }

    /// Takes the value at a node away, and the nodes that led to nothing else.
    pub(crate) fn remove(&mut self, node: NodeId) -> Option<T> {
        let value = self.nodes.get_mut(node as usize)?.value.take();
        self.prune(node);
        value
    }

    /// Every value.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.nodes.iter().filter_map(|node| node.value.as_ref())
    }

    /// Whether nothing but the roots is left.
    #[cfg(test)]
    pub(crate) fn is_bare(&self) -> bool {
        self.nodes.len() - self.free.len() == 2 && self.edges.is_empty() && self.levels.table.is_empty()
    }

    /// With paths that are filters: calls `found` with the value of each filter that matches a topic.
    pub(crate) fn match_topic(&mut self, topic: &str, mut found: impl FnMut(&T)) {
        let mut walk = std::mem::take(&mut self.walk);
        walk.levels.clear();
        walk.levels.extend(topic.split('/').map(|level| self.levels.find(level).unwrap_or(NONE)));
        walk.stack.push((root_of(topic), 0));
        while let Some((mut id, first_depth)) = walk.stack.pop() {
            // Down to the end of one path; what branches off waits on the stack.
            for depth in first_depth.. {
                let node = &self.nodes[id as usize];
                // `#` also matches the level above it: section 4.7.1.2.
                if node.hash != NONE
                    && let Some(value) = &self.nodes[node.hash as usize].value
                {
                    found(value);
                }
                let Some(level) = walk.levels.get(depth) else {
                    node.value.iter().for_each(&mut found);
                    break;
                };
                let child = self.literal_child(id, node, *level);
                if child != NONE && node.plus != NONE {
                    walk.stack.push((node.plus, depth + 1));
                }
                id = if child == NONE { node.plus } else { child };
                if id == NONE {
                    break;
                }
            }
        }
        self.walk = walk;
    }

    /// With paths that are topics: calls `found` with each topic's node and value that a filter matches.
    pub(crate) fn match_filter(&mut self, filter: &str, mut found: impl FnMut(NodeId, &T)) {
        let mut walk = std::mem::take(&mut self.walk);
        walk.levels.clear();
        for text in filter.split('/') {
            walk.levels.push(match text {
                "+" => PLUS,
                "#" => HASH,
                text => self.levels.find(text).unwrap_or(NONE),
            });
        }
        walk.stack.push((root_of(filter), 0));
        while let Some((id, depth)) = walk.stack.pop() {
            let node = &self.nodes[id as usize];
            let level = if depth == SUBTREE { Some(&HASH) } else { walk.levels.get(depth) };
            match level {
                None => {
                    if let Some(value) = &node.value {
                        found(id, value);
                    }
                }
                Some(&HASH) => {
                    if let Some(value) = &node.value {
                        found(id, value);
                    }
                    self.push_children(node, SUBTREE, &mut walk.stack);
                }
                Some(&PLUS) => self.push_children(node, depth + 1, &mut walk.stack),
                Some(level) => {
                    if let Some(child) = self.child(id, *level) {
                        walk.stack.push((child, depth + 1));
                    }
                }
            }
        }
        self.walk = walk;
    }

    /// The values at a path and below it.
    pub(crate) fn below(&self, path: &str) -> Vec<&T> {
        let mut stack: Vec<(NodeId, usize)> = self.find(path).map(|node| (node, SUBTREE)).into_iter().collect();
        let mut values = Vec::new();
        while let Some((id, _)) = stack.pop() {
            let node = &self.nodes[id as usize];
            values.extend(&node.value);
            self.push_children(node, SUBTREE, &mut stack);
        }
        values
    }

    fn push_children(&self, node: &Node<T>, depth: usize, stack: &mut Vec<(NodeId, usize)>) {
        let mut child = node.first_child;
        while child != NONE {
            stack.push((child, depth));
            child = self.nodes[child as usize].next;
        }
    }

    fn child(&self, node: NodeId, level: u32) -> Option<NodeId> {
        let present = |child: NodeId| (child != NONE).then_some(child);
        match level {
            PLUS => present(self.nodes[node as usize].plus),
            HASH => present(self.nodes[node as usize].hash),
            level => present(self.literal_child(node, &self.nodes[node as usize], level)),
        }
    }

    /// The child at a level that is no wildcard, or [`NONE`]. No filter has a level that is not interned.
    fn literal_child(&self, id: NodeId, node: &Node<T>, level: u32) -> NodeId {
        if level == NONE || node.first_child == NONE {
            NONE
        } else if node.only_level == level {
            node.first_child
        } else if node.only_level != NONE {
            NONE
        } else {
            let is_it = |child: &NodeId| hangs(&self.nodes, *child) == (id, level);
            self.edges.find(edge_hash(id, level), is_it).copied().unwrap_or(NONE)
        }
    }

    fn add_child(&mut self, parent: NodeId, level: u32) -> NodeId {
        let node = Node::new(parent, level);
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
            }
        };
        match level {
            PLUS => self.nodes[parent as usize].plus = id,
            HASH => self.nodes[parent as usize].hash = id,
            level => {
                self.levels.hold(level);
                let next = std::mem::replace(&mut self.nodes[parent as usize].first_child, id);
                self.nodes[id as usize].next = next;
                if next == NONE {
                    self.nodes[parent as usize].only_level = level;
                } else {
                    self.nodes[next as usize].previous = id;
                    let only_level = std::mem::replace(&mut self.nodes[parent as usize].only_level, NONE);
                    if only_level != NONE {
                        self.add_edge(next);
                    }
                    self.add_edge(id);
                }
            }
        }
        id
    }

    /// Removes a node that leads nowhere, then its parent if it led nowhere else, and so on.
    pub(crate) fn prune(&mut self, mut node: NodeId) {
        while node != ROOT && node != DOLLAR_ROOT && self.nodes[node as usize].is_unused() {
            let Node { parent, level, next, previous, .. } = self.nodes[node as usize];
            match level {
                PLUS => self.nodes[parent as usize].plus = NONE,
                HASH => self.nodes[parent as usize].hash = NONE,
                level => {
                    self.remove_edge(node);
                    match previous {
                        NONE => self.nodes[parent as usize].first_child = next,
                        previous => self.nodes[previous as usize].next = next,
                    }
                    if next != NONE {
                        self.nodes[next as usize].previous = previous;
                    }
                    self.note_only_child(parent);
                    self.levels.release(level);
                }
            }
            self.free.push(node);
            node = parent;
        }
    }
}

impl<T> Trie<T> {
    fn add_edge(&mut self, child: NodeId) {
        let nodes = &self.nodes;
        let hash_of = |child: &NodeId| {
            let (parent, level) = hangs(nodes, *child);
            edge_hash(parent, level)
        };
        self.edges.insert_unique(hash_of(&child), child, hash_of);
    }

    fn remove_edge(&mut self, child: NodeId) {
        let (parent, level) = hangs(&self.nodes, child);
        if let Ok(edge) = self.edges.find_entry(edge_hash(parent, level), |other| *other == child) {
            edge.remove();
        }
    }

    /// A child is gone: the last that is left needs no edge.
    fn note_only_child(&mut self, parent: NodeId) {
        let first = self.nodes[parent as usize].first_child;
        let only_level = match first {
            NONE => NONE,
            first if self.nodes[first as usize].next == NONE => self.nodes[first as usize].level,
            _ => return,
        };
        if first != NONE {
            self.remove_edge(first);
        }
        self.nodes[parent as usize].only_level = only_level;
    }
}

fn root_of(path: &str) -> NodeId {
    if path.starts_with('$') { DOLLAR_ROOT } else { ROOT }
}

/// Under which node a node hangs, and at which level.
fn hangs<T>(nodes: &[Node<T>], node: NodeId) -> (NodeId, u32) {
    let Node { parent, level, .. } = &nodes[node as usize];
    (*parent, *level)
}

fn edge_hash(node: NodeId, level: u32) -> u64 {
    BuildIdHasher::default().hash_one(u64::from(node) << 32 | u64::from(level))
}

/// Numbers for the texts of levels. Clients choose the texts: the table keeps SipHash.
#[derive(Default)]
struct Levels {
    table: HashTable<Level>,
    hasher: BuildClientKeyHasher,
    /// By number: the hash of its text, by which it is found when its number alone is known.
    hashes: Vec<u64>,
    free: Vec<u32>,
}

struct Level {
    text: Box<str>,
    number: u32,
    /// Nodes at this level.
    holders: u32,
}

impl Levels {
    /// The number of a text; a new one is held by nobody until [`Levels::hold`].
    fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.find(text) {
            return number;
        }
        let hash = self.hasher.hash_one(text);
        let place = match self.free.pop() {
            Some(place) => {
                self.hashes[place as usize] = hash;
                place
            }
            None => {
                self.hashes.push(hash);
                u32::try_from(self.hashes.len() - 1).unwrap_or(NONE)
            }
        };
        let level = Level { text: text.into(), number: place + LEVEL_FIRST, holders: 0 };
        self.table.insert_unique(hash, level, |level| self.hasher.hash_one(&*level.text));
        place + LEVEL_FIRST
    }

    fn find(&self, text: &str) -> Option<u32> {
        match text {
            "+" => Some(PLUS),
            "#" => Some(HASH),
            text => {
                let level = self.table.find(self.hasher.hash_one(text), |level| *level.text == *text);
                level.map(|level| level.number)
            }
        }
    }

    fn hold(&mut self, number: u32) {
        if let Ok(mut level) = self.entry(number) {
            level.get_mut().holders += 1;
        }
    }

    fn release(&mut self, number: u32) {
        let Ok(mut level) = self.entry(number) else { return };
        level.get_mut().holders -= 1;
        if level.get().holders == 0 {
            level.remove();
            self.free.push(number - LEVEL_FIRST);
        }
    }

    fn entry(&mut self, number: u32) -> Result<OccupiedEntry<'_, Level>, AbsentEntry<'_, Level>> {
        let hash = self.hashes[(number - LEVEL_FIRST) as usize];
        self.table.find_entry(hash, |level| level.number == number)
    }
}
