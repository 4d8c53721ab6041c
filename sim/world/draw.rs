//! Keyed draws: randomness without a sequence.
//!
//! A draw is a pure function of the seed and a key, `H(seed, stream, scope, entity, n)`: what is drawn, on whose behalf,
//! about what, and the how-manieth of that kind. Adding a disk call to one operation therefore disturbs that operation,
//! not every draw after it, which is what lets a plan survive a change of the code it was found in.
//!
//! Every draw has a **mild default**: the value that makes nothing interesting happen. Three ways to decide:
//! - *seeded*: each draw comes from the hash;
//! - *planned*: a draw is mild unless the plan overrides it;
//! - either of them, *recorded*: the draws that were not mild are kept, in words, and make a plan.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{
    mix::{MixedMap, mix, mix_bytes},
    span::{Span, Time},
};

/// What is drawn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "each is explained by its name in `NAMES`")]
pub enum Stream {
    NetLatency,
    NetFault,
    DiskLatency,
    DiskFault,
    Interleave,
    QueryLatency,
    JobLatency,
    Linger,
    Think,
    Backoff,
    Restart,
    Priority,
    PowerPage,
    PowerTear,
    PowerSize,
    PowerNames,
    CacheKept,
    Detail,
}

const NAMES: [(Stream, &str); 18] = [
    (Stream::NetLatency, "net.latency"),
    (Stream::NetFault, "net.fault"),
    (Stream::DiskLatency, "disk.latency"),
    (Stream::DiskFault, "disk.fault"),
    (Stream::Interleave, "interleave"),
    (Stream::QueryLatency, "query.latency"),
    (Stream::JobLatency, "job.latency"),
    (Stream::Linger, "batch.linger"),
    (Stream::Think, "client.think"),
    (Stream::Backoff, "client.backoff"),
    (Stream::Restart, "restart.delay"),
    (Stream::Priority, "priority"),
    (Stream::PowerPage, "power.page"),
    (Stream::PowerTear, "power.tear"),
    (Stream::PowerSize, "power.size"),
    (Stream::PowerNames, "power.names"),
    (Stream::CacheKept, "cache.kept"),
    (Stream::Detail, "detail"),
];

/// On whose behalf something is drawn: all that follows from a client's operation is drawn in its scope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// Nobody in particular.
    World,
    /// A client's operation, and whatever it caused.
    Op(u64),
    /// A node in one of its lives, where no operation is the cause.
    Node(u32, u32),
}

/// About what something is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entity<'a> {
    /// Nothing in particular.
    None,
    /// A message from one end to another.
    Link(End, End),
    /// A node.
    Node(u32),
    /// A client.
    Client(u32),
    /// A fault of the plan, by its number.
    Fault(u32),
    /// A class of paths (numbers replaced by `*`), with a page or another number within.
    Path(PathClass<'a>, u32),
}

/// A path whose numbers are replaced by `*`, and its hash, made once per open file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathClass<'a> {
    /// The words: `l1/delta.*.tmp`.
    pub words: &'a str,
    /// Their hash.
    pub hash: u64,
}

/// An end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    /// A node.
    Node(u32),
    /// A client.
    Client(u32),
}

/// A probability, in parts of a million. 0 draws nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Ppm(pub u32);

/// What was drawn and is not mild, in words: the key, and the value.
pub type Overrides = BTreeMap<String, String>;

/// Decides all that is left open in a run.
pub struct Draws {
    seed: u64,
    /// Values that the plan fixes; `None` where every draw comes from the hash.
    planned: Option<MixedMap<Planned>>,
    /// How often each (stream, scope, entity) was drawn.
    counts: MixedMap<u32>,
    recorded: Option<Overrides>,
}

struct Planned {
    words: String,
    value: u64,
    used: bool,
}

impl Draws {
    /// Every draw from the hash.
    pub fn seeded(seed: u64) -> Self {
        Draws { seed, planned: None, counts: MixedMap::default(), recorded: None }
    }

    /// Every draw mild.
    pub fn mild(seed: u64) -> Self {
        Draws { planned: Some(MixedMap::default()), ..Draws::seeded(seed) }
    }

    /// From now on every draw comes from the hash of another seed.
    pub fn reseed(&mut self, seed: u64) {
        (self.seed, self.planned) = (seed, None);
    }

    /// Every draw mild but for these. The error names the entry that cannot be read.
    pub fn planned(seed: u64, overrides: &Overrides) -> Result<Self, String> {
        let mut planned = MixedMap::default();
        for (words, value) in overrides {
            let key = parse_key(words).ok_or_else(|| format!("`{words}` is not a draw"))?;
            let value = parse_value(value).ok_or_else(|| format!("`{words}`: `{value}` is not a value"))?;
            planned.insert(key, Planned { words: words.clone(), value, used: false });
        }
        Ok(Draws { seed, planned: Some(planned), counts: MixedMap::default(), recorded: None })
    }

    /// From now on keeps what was drawn.
    pub fn record(&mut self) {
        self.recorded = Some(Overrides::new());
    }

    /// What was recorded.
    pub fn recorded(&mut self) -> Overrides {
        self.recorded.take().unwrap_or_default()
    }

    /// The overrides of the plan that no draw has asked for.
    pub fn unused(&self) -> Vec<String> {
        let Some(planned) = &self.planned else { return Vec::new() };
        #[expect(clippy::iter_over_hash_type, reason = "sorted right below")]
        let mut unused: Vec<String> = {
            let mut list = Vec::new();
            for entry in planned.values() {
                if !entry.used {
                    list.push(entry.words.clone());
                }
            }
            list
        };
        unused.sort();
        unused
    }

    /// A span of time. Where its bounds are equal nothing is drawn.
    #[inline]
    pub fn span(&mut self, stream: Stream, scope: Scope, entity: Entity<'_>, span: &Span) -> u64 {
        if span.min == span.max {
            return span.min.0;
        }
        self.decide(stream, scope, entity, span.mild.0, |raw| span.at(raw), |value| Time(value).to_string())
    }

    /// Whether something happens; mildly, it does not.
    #[inline]
    pub fn chance(&mut self, stream: Stream, scope: Scope, entity: Entity<'_>, chance: Ppm) -> bool {
        let hit = |raw: u64| u64::from(raw >> 32 < (u64::from(chance.0) << 32) / 1_000_000);
        chance.0 > 0 && self.decide(stream, scope, entity, 0, hit, |_| "yes".into()) != 0
    }

    /// One of `options` alternatives, the first of which is the mildest.
    #[inline]
    pub fn pick(&mut self, stream: Stream, scope: Scope, entity: Entity<'_>, options: u32) -> u32 {
        if options < 2 {
            return 0;
        }
        let pick = |raw: u64| ((raw >> 32) * u64::from(options)) >> 32;
        let picked = self.decide(stream, scope, entity, 0, pick, |value| value.to_string());
        (picked as u32).min(options - 1)
    }

    /// Counts a draw whose number is used for several: the latency and the priority of one message.
    #[inline]
    pub fn count(&mut self, stream: Stream, scope: Scope, entity: Entity<'_>) -> u32 {
        let count = self.counts.entry(group(stream, scope, entity)).or_default();
        *count += 1;
        *count - 1
    }

    /// [`span`](Self::span) where the caller knows the number: nothing is counted, which is cheaper.
    #[inline]
    pub fn nth_span(&mut self, stream: Stream, scope: Scope, entity: Entity<'_>, n: u32, span: &Span) -> u64 {
        if span.min == span.max {
            return span.min.0;
        }
        self.decide_nth(stream, scope, entity, n, span.mild.0, |raw| span.at(raw), |value| Time(value).to_string())
    }

    /// [`pick`](Self::pick) where the caller knows the number.
    #[inline]
    pub fn nth_pick(&mut self, stream: Stream, scope: Scope, entity: Entity<'_>, n: u32, options: u32) -> u32 {
        let pick = |raw: u64| ((raw >> 32) * u64::from(options)) >> 32;
        let picked = self.decide_nth(stream, scope, entity, n, 0, pick, |value| value.to_string());
        (picked as u32).min(options - 1)
    }

    /// Notes what was picked elsewhere, as if it had been drawn; 0 is the mildest.
    pub fn note(&mut self, stream: Stream, scope: Scope, entity: Entity<'_>, picked: u32, words: &str) {
        let n = self.count(stream, scope, entity);
        if picked != 0
            && let Some(recorded) = &mut self.recorded
        {
            recorded.insert(key_words(stream, scope, entity, n), words.into());
        }
    }

    /// A seed for something that draws by itself. Not part of a plan beyond the plan's own seed.
    pub fn derive(&self, stream: Stream, scope: Scope, entity: Entity<'_>) -> u64 {
        mix(self.seed, group(stream, scope, entity))
    }

    #[inline]
    fn decide(
        &mut self,
        stream: Stream,
        scope: Scope,
        entity: Entity<'_>,
        mild: u64,
        draw: impl FnOnce(u64) -> u64,
        words: impl FnOnce(u64) -> String,
    ) -> u64 {
        let n = self.count(stream, scope, entity);
        self.decide_nth(stream, scope, entity, n, mild, draw, words)
    }

    #[inline]
    #[expect(
        clippy::too_many_arguments,
        reason = "the five parts of a key, the default, and two ways to read the result"
    )]
    fn decide_nth(
        &mut self,
        stream: Stream,
        scope: Scope,
        entity: Entity<'_>,
        n: u32,
        mild: u64,
        draw: impl FnOnce(u64) -> u64,
        words: impl FnOnce(u64) -> String,
    ) -> u64 {
        let key = mix(group(stream, scope, entity), u64::from(n));
        let value = match &mut self.planned {
            None => draw(mix(self.seed, key)),
            Some(planned) => planned.get_mut(&key).map_or(mild, |entry| {
                entry.used = true;
                entry.value
            }),
        };
        if value != mild
            && let Some(recorded) = &mut self.recorded
        {
            recorded.insert(key_words(stream, scope, entity, n), words(value));
        }
        value
    }
}

impl Scope {
    /// The scope as a word. A run has fewer than 2^62 operations and 2^30 lives.
    pub(crate) fn code(self) -> u64 {
        match self {
            Scope::World => 0,
            Scope::Op(op) => 1 | op << 2,
            Scope::Node(node, life) => 2 | u64::from(node) << 2 | u64::from(life) << 34,
        }
    }

    pub(crate) fn of_code(code: u64) -> Self {
        match code & 3 {
            0 => Scope::World,
            1 => Scope::Op(code >> 2),
            _ => Scope::Node((code >> 2) as u32, (code >> 34) as u32),
        }
    }
}

fn group(stream: Stream, scope: Scope, entity: Entity<'_>) -> u64 {
    let scope = scope.code();
    let entity = match entity {
        Entity::None => 0,
        Entity::Link(from, to) => 1 | end_code(from) << 3 | end_code(to) << 33,
        Entity::Node(node) => 2 | u64::from(node) << 3,
        Entity::Client(client) => 3 | u64::from(client) << 3,
        Entity::Fault(fault) => 4 | u64::from(fault) << 3,
        Entity::Path(class, n) => mix(class.hash, u64::from(n)),
    };
    mix(mix(stream as u64, scope), entity)
}

fn end_code(end: End) -> u64 {
    match end {
        End::Node(n) => u64::from(n) << 1,
        End::Client(n) => u64::from(n) << 1 | 1,
    }
}

/// Replaces every run of digits by `*`, so that the third delta file of a run is drawn for as the second was.
pub fn path_class(path: &str) -> String {
    let mut class = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '0'..='9' if class.ends_with('*') => {}
            '0'..='9' => class.push('*'),
            c => class.push(c),
        }
    }
    class
}

impl<'a> PathClass<'a> {
    /// A class from its words.
    pub fn new(words: &'a str) -> Self {
        PathClass { words, hash: mix_bytes(0x70, words.as_bytes()) }
    }
}

fn key_words(stream: Stream, scope: Scope, entity: Entity<'_>, n: u32) -> String {
    format!("{stream} {scope} {entity} #{n}")
}

/// The key that [`key_words`] described.
fn parse_key(words: &str) -> Option<u64> {
    let (rest, n) = words.rsplit_once(" #")?;
    let (stream, rest) = rest.split_once(' ')?;
    let (scope, entity) = rest.split_once(' ')?;
    let stream = NAMES.iter().find(|(_, name)| *name == stream)?.0;
    let group = group(stream, scope.parse().ok()?, parse_entity(entity)?);
    Some(mix(group, u64::from(n.parse::<u32>().ok()?)))
}

fn parse_value(words: &str) -> Option<u64> {
    match words {
        "yes" => Some(1),
        "no" => Some(0),
        _ => words.parse().ok().or_else(|| words.parse::<Time>().ok().map(|time| time.0)),
    }
}

fn parse_entity(words: &str) -> Option<Entity<'_>> {
    if words == "-" {
        return Some(Entity::None);
    }
    if let Some(rest) = words.strip_prefix("path:") {
        let (class, n) = rest.rsplit_once(':')?;
        return Some(Entity::Path(PathClass::new(class), n.parse().ok()?));
    }
    if let Some((from, to)) = words.split_once('>') {
        return Some(Entity::Link(from.parse().ok()?, to.parse().ok()?));
    }
    if let Some(fault) = words.strip_prefix("fault") {
        return Some(Entity::Fault(fault.parse().ok()?));
    }
    match words.parse().ok()? {
        End::Node(n) => Some(Entity::Node(n)),
        End::Client(n) => Some(Entity::Client(n)),
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[*self as usize].1)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::World => f.write_str("world"),
            Scope::Op(op) => write!(f, "op{op}"),
            Scope::Node(node, life) => write!(f, "n{node}.{life}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ();
    fn from_str(words: &str) -> Result<Self, ()> {
        if words == "world" {
            return Ok(Scope::World);
        }
        if let Some(op) = words.strip_prefix("op") {
            return op.parse().map(Scope::Op).map_err(drop);
        }
        let (node, life) = words.strip_prefix('n').and_then(|rest| rest.split_once('.')).ok_or(())?;
        Ok(Scope::Node(node.parse().map_err(drop)?, life.parse().map_err(drop)?))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Node(n) => write!(f, "n{n}"),
            End::Client(n) => write!(f, "c{n}"),
        }
    }
}

impl FromStr for End {
    type Err = ();
    fn from_str(words: &str) -> Result<Self, ()> {
        let (kind, n) = words.split_at_checked(1).ok_or(())?;
        let n = n.parse().map_err(drop)?;
        match kind {
            "n" => Ok(End::Node(n)),
            "c" => Ok(End::Client(n)),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Entity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entity::None => f.write_str("-"),
            Entity::Link(from, to) => write!(f, "{from}>{to}"),
            Entity::Node(n) => write!(f, "n{n}"),
            Entity::Client(n) => write!(f, "c{n}"),
            Entity::Fault(n) => write!(f, "fault{n}"),
            Entity::Path(class, n) => write!(f, "path:{}:{n}", class.words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Entity<'static> = Entity::Link(End::Client(0), End::Node(2));

    #[test]
    fn a_draw_in_another_scope_disturbs_nothing() {
        let mut one = Draws::seeded(7);
        let mut two = Draws::seeded(7);
        two.pick(Stream::NetLatency, Scope::Op(9), LINK, 1000);
        for _ in 0..5 {
            let scope = Scope::Op(1);
            assert_eq!(
                one.pick(Stream::NetLatency, scope, LINK, 1000),
                two.pick(Stream::NetLatency, scope, LINK, 1000)
            );
        }
    }

    #[test]
    fn what_was_recorded_is_drawn_again_from_the_plan() {
        let span = Span::new(Time::micros(10), Time::micros(1), Time::millis(90));
        let classes = ["l1/delta.*.tmp", "wal"];
        let draw_all = |draws: &mut Draws| {
            let mut all = Vec::new();
            for n in 0..50 {
                let scope = if n % 2 == 0 { Scope::Op(n) } else { Scope::Node(1, 2) };
                let path = Entity::Path(PathClass::new(classes[n as usize % 2]), 3);
                all.push(draws.span(Stream::DiskLatency, scope, path, &span));
                all.push(u64::from(draws.chance(Stream::NetFault, scope, Entity::Fault(1), Ppm(300_000))));
                all.push(u64::from(draws.pick(Stream::PowerPage, Scope::World, LINK, 4)));
            }
            all
        };
        let mut seeded = Draws::seeded(42);
        seeded.record();
        let drawn = draw_all(&mut seeded);
        let mut planned = Draws::planned(0, &seeded.recorded()).expect("recorded words can be read");
        assert_eq!(draw_all(&mut planned), drawn);
        assert!(planned.unused().is_empty());
    }

    #[test]
    fn without_a_plan_entry_a_draw_is_mild_and_an_unasked_entry_is_reported() {
        let entry = ("net.fault op3 c0>n2 #0".to_string(), "yes".to_string());
        let mut draws = Draws::planned(1, &Overrides::from([entry.clone()])).unwrap();
        assert!(!draws.chance(Stream::NetFault, Scope::Op(4), LINK, Ppm(1_000_000)));
        assert_eq!(draws.unused(), [entry.0]);
        assert!(draws.chance(Stream::NetFault, Scope::Op(3), LINK, Ppm(1)));
        assert!(draws.unused().is_empty());
    }

    #[test]
    fn chances_come_out_as_often_as_they_say() {
        let mut draws = Draws::seeded(3);
        let hits =
            (0..10_000).filter(|n| draws.chance(Stream::DiskFault, Scope::Op(*n), Entity::None, Ppm(100_000))).count();
        assert!((900..1100).contains(&hits), "{hits} of 10000 at a chance of a tenth");
    }

    #[test]
    fn a_class_forgets_numbers() {
        assert_eq!(path_class("l1/delta.0042.tmp"), "l*/delta.*.tmp");
    }

    #[test]
    fn an_unreadable_override_is_named() {
        let bad = Overrides::from([("net.fault nowhere #0".to_string(), "yes".to_string())]);
        assert!(Draws::planned(1, &bad).err().unwrap().contains("net.fault nowhere"));
    }
}
