//! The page of a failing hunt in a real browser: it loads from a file without a network and without a complaint, a
//! click and a key lead to an event, and it can be read on a wide screen and on a narrow one.
//!
//! The product holds nothing for this test. A copy of the page gets two scripts: one that collects complaints from the
//! start, and one that uses the page and tells what came of that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use stormproof_reports::{
    ReplayCommand, RunReport, Trial,
    html::{self, Story},
};
use stormproof_sim::{
    examples::replica::{Bug, trial::ReplicaTrial},
    hunt::SuiteReport,
    world::Settings,
};

const BROWSER: &str = "/usr/bin/chromium";

/// No page takes so long; a browser that does hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs of the broken replica that are hunted through. Some of them fail.
const SEEDS: u64 = 40;

const COLLECT: &str = "<script>
const complaints = [];
addEventListener('error', (event) => complaints.push(String(event.message ?? event.target?.outerHTML)), true);
addEventListener('securitypolicyviolation', (event) => complaints.push('policy: ' + event.blockedURI));
for (const kind of ['error', 'warn']) console[kind] = (...words) => complaints.push(words.join(' '));
</script>";

const USE: &str = r"<script>
const part = (name) => document.querySelector('.timeline ' + name);
const outcome = { width: innerWidth, wide: document.documentElement.scrollWidth };
const said = () => part('.detail').textContent;
const key = (name) => part('.pane').dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true }));
outcome.before = said();
const bar = part('.op');
bar.scrollIntoView({ block: 'center' });
const frame = bar.getBoundingClientRect();
const [x, y] = [frame.x + frame.width / 2, frame.y + frame.height / 2];
const hit = document.elementFromPoint(x, y);
outcome.hit = hit.outerHTML.slice(0, 200);
hit.dispatchEvent(new MouseEvent('click', { bubbles: true, clientX: x, clientY: y }));
outcome.clicked = said();
outcome.marked = part('.story').querySelectorAll('.on').length;
key('ArrowRight');
outcome.stepped = said();
const narrow = part('.picture').clientWidth;
part('[data-do=in]').click();
outcome.zoom = part('.picture').clientWidth / narrow;
key('0');
outcome.whole = part('.picture').clientWidth / narrow;
const width = bar.getAttribute('width');
part('[data-do=truly]').click();
outcome.truly = bar.getAttribute('width') !== width;
outcome.fetched = performance.getEntriesByType('resource').map((entry) => entry.name);
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
outcome.smallest = 99;
while (texts.nextNode()) {
  const home = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || ['SCRIPT', 'STYLE'].includes(home.tagName)) continue;
  outcome.smallest = Math.min(outcome.smallest, parseFloat(getComputedStyle(home).fontSize));
}
outcome.complaints = complaints;
parent.postMessage(btoa(encodeURIComponent(JSON.stringify(outcome))), '*');
</script>";

/// The page stands in a frame: a window cannot be as narrow as a telephone.
const FRAME: &str =
    "<!DOCTYPE html><html><body><iframe src='page.html' width='WIDTH' height='1000' style='border:0'></iframe>
<script>addEventListener('message', (event) => { document.body.textContent = 'OUTCOME' + event.data + '!'; });</script>
</body></html>";

/// A hunt through a replica that votes twice in a term: real failures, and the story of each.
fn failing_page() -> String {
    let suite = ReplicaTrial { bug: Some(Bug::VotesTwice) };
    let suite: &dyn stormproof_sim::hunt::Suite = &suite;
    let mut report = SuiteReport::new(suite);
    (0..SEEDS).for_each(|seed| report.add(suite.run_seed(seed, &Settings::default())));
    assert!(!report.failures.is_empty(), "the planted error was not found in {SEEDS} seeds");
    let all = Settings { words: true, record: true };
    let runs: Vec<_> = report.failures.values().map(|failure| suite.run_seed(failure.seed, &all)).collect();
    let stories: Vec<_> = runs.iter().map(|run| Story { suite, run }).collect();
    let replay = ReplayCommand { program: "stormproof".into(), options: String::new() };
    let trials = vec![Trial { suite, report, whole: true }];
    html::render(&RunReport { regressions: Vec::new(), trials, wall: Duration::ZERO, threads: 1, replay }, &stories)
}

/// The browser if there is one; a machine without one says so, and is told apart from one where all held.
fn has_browser() -> bool {
    let found = Path::new(BROWSER).exists();
    if !found {
        println!("SKIPPED: page_in_a_browser: there is no {BROWSER} (Debian: apt-get install chromium)");
    }
    found
}

/// What the scripts found out, at a width of so many pixels.
fn used(page: &str, width: u32) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let copy = page.replacen("<head>", &format!("<head>{COLLECT}"), 1).replacen("</body>", &format!("{USE}</body>"), 1);
    let file = dir.path().join("frame.html");
    fs::write(dir.path().join("page.html"), copy).unwrap();
    fs::write(&file, FRAME.replace("WIDTH", &width.to_string())).unwrap();
    let [out, log] = ["out", "log"].map(|name| dir.path().join(name));
    let child = Command::new(BROWSER)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-extensions"])
        // No name means anything, and what asks for an address finds nobody.
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom"])
        .arg("--window-size=1400,1200")
        .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    wait(child);
    let (said, logged) =
        (fs::read_to_string(out).unwrap(), String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned());
    let complaints: Vec<_> = logged.lines().filter(|line| line.contains(":CONSOLE")).collect();
    assert_eq!(complaints, Vec::<&str>::new(), "the browser's log");
    outcome(&said).unwrap_or_else(|| panic!("the page was not used to the end:\n{said}\n{logged}"))
}

#[expect(clippy::disallowed_methods, reason = "a browser is a process of the real machine, and must have an end")]
fn wait(mut child: Child) {
    let begun = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the browser did not end within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The scripts leave base64 of percent-encoded JSON: nothing that a serialised page would escape.
fn outcome(dom: &str) -> Option<Value> {
    let encoded = dom.split_once("OUTCOME")?.1.split_once('!')?.0;
    let bytes = percent_decoded(&base64_decoded(encoded)?);
    serde_json::from_slice(&bytes).ok()
}

fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for sign in text.bytes().filter(|sign| *sign != b'=') {
        bits = bits << 6 | SIGNS.iter().position(|known| *known == sign)? as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let [first, more @ ..] = rest {
        let code = more.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &more[2..]).1,
            None => (bytes.push(*first), rest = more).1,
        }
    }
    bytes
}

#[test]
#[ignore = "needs a browser, and half a minute: cargo ci page"]
fn page_in_a_browser() {
    if !has_browser() {
        return;
    }
    let page = failing_page();
    for width in [1280, 400] {
        let outcome = used(&page, width);
        assert_eq!(outcome["width"], width, "the frame: {outcome}");
        assert_eq!(outcome["complaints"], Value::Array(Vec::new()), "{outcome}");
        assert_eq!(outcome["fetched"], Value::Array(Vec::new()), "{outcome}");
        assert!(outcome["wide"].as_u64() <= outcome["width"].as_u64(), "wider than the window: {outcome}");
        assert!(outcome["smallest"].as_f64() >= Some(12.0), "too small to read: {outcome}");
        assert_ne!(outcome["before"], outcome["clicked"], "a click on an operation tells nothing: {outcome}");
        assert!(outcome["clicked"].as_str().unwrap().contains("asks op"), "{outcome}");
        assert_eq!(outcome["marked"], 1, "its line in the story: {outcome}");
        assert_ne!(outcome["clicked"], outcome["stepped"], "a key leads no further: {outcome}");
        assert_eq!((&outcome["zoom"], &outcome["whole"]), (&2.into(), &1.into()), "{outcome}");
        assert_eq!(outcome["truly"], true, "true time draws the same picture: {outcome}");
        println!("at {width} px: {}", outcome["clicked"]);
    }
}

#[test]
fn the_page_of_the_same_hunt_is_the_same_page() {
    assert!(failing_page() == failing_page(), "two pages of the same runs differ");
}
