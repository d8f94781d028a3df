//! A configuration file, read and worked out as far as it goes without asking anybody.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;

use crate::cli::{self, Failure};
use crate::config::{Config, Parsed, Problem, Rule, RuleId, ServerNames, Upstream};
use crate::endpoints::{self, Endpoint, GrantedName, Target, filtered_upstreams};
use crate::kernel::Settings;
use crate::names::ServerName;
use crate::policy::grants::{NameGrants, grants};
use crate::policy::plan::Granted;
use crate::policy::table::{Grant, Range, Table, TableError};
use crate::resolve::failover::Failover;
use crate::resolve::list::Changed;
use crate::resolve::{Question, Snapshot, system, upstream};
use crate::state::configuration::Recorded;
use crate::state::{SavedConfiguration, configuration};

/// What a configuration file comes to.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The configuration.
    pub config: Config,
    /// What its rules let through.
    pub endpoints: Vec<Endpoint>,
    /// The server names that sessions may carry, and where.
    pub names: Vec<GrantedName>,
    /// The names to ask for.
    pub questions: Vec<Question>,
    /// Whom to ask: the configured upstreams, or the system's; none while the system names none.
    pub upstreams: Vec<Upstream>,
    /// Whether enforcer itself is judged, so that its upstreams need a grant where their port is filtered.
    pub judges_enforcer: bool,
    name_grants: NameGrants,
    edition: Edition,
}

/// Tells apart policies that grant differently with the same answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Edition(u64);

impl Edition {
    /// One that no policy had.
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// What the kernel should hold.
#[derive(Debug)]
pub struct Desired {
    /// In the kernel's layout.
    pub table: Table,
    /// The same as ranges, disjoint and ascending.
    pub ranges: Vec<Range>,
}

impl Policy {
    /// Reads `file` and everything it refers to; its problems are shown on stderr.
    ///
    /// # Errors
    /// The file can not be read, one of its problems is an error, or the system's name servers can not be found.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        Self::checked(cli::load_configuration(file)?)
    }

    /// That its names can be asked for.
    fn checked(config: Config) -> anyhow::Result<Self> {
        let policy = Self::new(config);
        if policy.upstreams.is_empty() && !policy.questions.is_empty() {
            policy.system_upstreams()?;
        }
        Ok(policy)
    }

    /// As [`Policy::load`] for a process that logs: its problems, each in one line, and the policy with what it was made
    /// of, to be saved as the last good configuration once it is in force.
    ///
    /// # Errors
    /// As for [`Policy::load`].
    pub fn load_recorded(file: &Path) -> (Vec<Told>, anyhow::Result<(Self, Recorded)>) {
        match configuration::read(file) {
            Ok((parsed, recorded)) => {
                let (problems, policy) = Self::of_parsed(parsed);
                (problems, policy.map(|policy| (policy, recorded)))
            }
            Err(error) => {
                let context = format!("can not read the configuration `{}`", file.display());
                (Vec::new(), Err(anyhow::Error::new(error).context(context)))
            }
        }
    }

    /// As [`Policy::load`], with what it was made of.
    ///
    /// # Errors
    /// As for [`Policy::load`].
    pub fn load_shown(file: &Path) -> anyhow::Result<(Self, Recorded)> {
        let (config, recorded) = cli::load_recorded_configuration(file)?;
        let policy = Self::checked(config)?;
        Ok((policy, recorded))
    }

    /// As [`Policy::load_recorded`], of a `text` that `file` had: what it refers to is read as it is now.
    ///
    /// # Errors
    /// One of its problems is an error.
    pub fn load_again(file: &Path, text: &str) -> (Vec<Told>, anyhow::Result<(Self, Recorded)>) {
        let (parsed, recorded) = configuration::read_again(file, text.to_owned());
        let (problems, policy) = Self::of_parsed(parsed);
        (problems, policy.map(|policy| (policy, recorded)))
    }

    /// The rule that lets a session under `name` pass at an address that `address_rule` grants; without a name that rule.
    #[must_use]
    pub fn rule_that_grants(&self, name: Option<&ServerName>, address_rule: Option<RuleId>) -> Option<&Rule> {
        let is_named = |target: &Target| match (target, name) {
            (Target::Name(granted), Some(name)) => granted == name,
            (Target::Pattern(pattern), Some(name)) => pattern.matches(name),
            _ => false,
        };
        let mut by_name = self
            .endpoints
            .iter()
            .filter(|endpoint| is_named(&endpoint.target))
            .map(|endpoint| endpoint.rule);
        let id = match by_name.clone().find(|rule| Some(*rule) == address_rule) {
            Some(both) => Some(both),
            None => by_name.next().or(address_rule),
        };
        self.config.rules.iter().find(|rule| Some(rule.id) == id)
    }

    /// The policy of the last good configuration, and its problems as for [`Policy::load_recorded`].
    ///
    /// # Errors
    /// This enforcer finds an error in it that the one which saved it did not, or the system's name servers can not be
    /// found.
    pub fn of_saved(saved: &SavedConfiguration) -> (Vec<Told>, anyhow::Result<Self>) {
        Self::of_parsed(saved.parse())
    }

    fn of_parsed(parsed: Parsed) -> (Vec<Told>, anyhow::Result<Self>) {
        let problems = parsed.problems.into_iter().map(Told).collect();
        let config = parsed.config.context("the configuration has errors");
        (problems, config.map(Self::new))
    }

    fn new(config: Config) -> Self {
        let endpoints = endpoints::expand(&config);
        let names = endpoints::granted_names(&config, &endpoints);
        let questions = endpoints::questions(&config, &endpoints);
        let upstreams = config.resolver.servers.clone();
        let mut policy = Self {
            name_grants: NameGrants::new(&endpoints),
            edition: Edition::next(),
            config,
            endpoints,
            names,
            questions,
            upstreams,
            judges_enforcer: true,
        };
        policy.follow_system();
        policy
    }

    /// Takes over the system's name servers, where the configuration names none.
    fn follow_system(&mut self) {
        if let Some(found) = self.other_upstreams() {
            self.ask(found);
        }
    }

    /// Asks these name servers from now on.
    pub(super) fn ask(&mut self, upstreams: Vec<Upstream>) {
        self.upstreams = upstreams;
        self.edition = Edition::next();
    }

    /// The system's name servers, where the configuration names none and they are others than before. A system that names
    /// none right now, as before the network is up, changes nothing.
    pub(super) fn other_upstreams(&self) -> Option<Vec<Upstream>> {
        self.system_upstreams()
            .ok()
            .filter(|found| *found != self.upstreams)
    }

    /// Those that the configuration names, otherwise those of the system.
    fn system_upstreams(&self) -> anyhow::Result<Vec<Upstream>> {
        if self.config.resolver.servers.is_empty() && !self.questions.is_empty() {
            system_upstreams()
        } else {
            Ok(self.config.resolver.servers.clone())
        }
    }

    /// Whether addresses are granted that the system's name servers have, and nobody else knows.
    pub(super) fn grants_by_system(&self) -> bool {
        let is_of_system = self.config.resolver.servers.is_empty();
        let mut granted = filtered_upstreams(&self.upstreams, &self.config.enforce.ports);
        is_of_system && granted.next().is_some()
    }

    /// The upstreams, ready to be asked.
    ///
    /// # Errors
    /// One of them can not be set up.
    pub fn connect(&self) -> anyhow::Result<Failover> {
        upstream::connect(&self.upstreams, &self.config.resolver).map_err(|error| {
            Failure::new(
                "the name servers can not be asked",
                "look at `servers` under [resolver]",
                error,
            )
            .into()
        })
    }

    /// What is granted with these answers, in the kernel's layout.
    ///
    /// # Errors
    /// The addresses or the server names do not fit the kernel's tables.
    pub fn desired(&self, answers: &Snapshot) -> Result<Desired, TableError> {
        let table = self.table(answers)?;
        let ranges = table.ranges();
        Ok(Desired { table, ranges })
    }

    /// That what is granted with these answers fits the kernel's tables.
    ///
    /// # Errors
    /// As for [`Self::desired`].
    pub(super) fn fits(&self, answers: &Snapshot) -> Result<(), TableError> {
        self.table(answers).map(drop)
    }

    fn table(&self, answers: &Snapshot) -> Result<Table, TableError> {
        let mut table = Table::new(self.config.enforce.capacity);
        table.fill(&self.grants(answers), &self.names)?;
        Ok(table)
    }

    /// What is granted with these answers.
    #[must_use]
    pub fn grants(&self, answers: &Snapshot) -> Vec<Grant> {
        let upstreams = if self.judges_enforcer {
            &self.upstreams[..]
        } else {
            &[]
        };
        grants(&self.endpoints, answers, upstreams, &self.config.enforce.ports)
    }

    /// What is granted no more and what is granted newly where these names have changed.
    #[must_use]
    pub fn difference(&self, changes: &[Changed<'_>]) -> (Vec<Grant>, Vec<Grant>) {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (old, new) in changes {
            self.name_grants.difference(old, new, &mut removed, &mut added);
        }
        (removed, added)
    }

    /// Which one it is: the same edition grants the same with the same answers.
    #[must_use]
    pub fn edition(&self) -> Edition {
        self.edition
    }

    /// The same as data for a plan.
    #[must_use]
    pub fn granted<'a>(&'a self, desired: &'a Desired) -> Granted<'a> {
        Granted {
            ranges: &desired.ranges,
            names: &self.names,
        }
    }

    /// What its user must know beside the problems of the file, a sentence each: server names that are not looked at,
    /// service tags under any name, and the [`gaps`](Self::gaps).
    pub(super) fn cautions(&self) -> Vec<String> {
        let off = (self.config.enforce.server_names == ServerNames::Off).then(|| SERVER_NAMES_OFF.to_owned());
        let open = endpoints::open_tags(&self.config);
        off.into_iter()
            .chain(open.iter().map(ToString::to_string))
            .chain(self.gaps())
            .collect()
    }

    /// What it lacks to grant all that it names, a sentence each: name servers, addresses of patterns.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        let nobody = self.upstreams.is_empty() && !self.questions.is_empty();
        let nobody = nobody.then(|| NOBODY_TO_ASK.to_owned());
        let unaddressed = endpoints::unaddressed(&self.config, &self.endpoints);
        nobody
            .into_iter()
            .chain(unaddressed.iter().map(endpoints::Unaddressed::words))
            .collect()
    }

    /// The settings that the kernel is told beside the addresses.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            mode: self.config.mode,
            quic: self.config.enforce.quic,
            existing: self.config.enforce.existing,
        }
    }
}

/// What `server_name = "off"` means.
const SERVER_NAMES_OFF: &str = "server names are not looked at (`server_name = \"off\"` under [enforce]): whoever shares an \
                                address with what is granted is reached too";

/// What no name server at all means.
const NOBODY_TO_ASK: &str =
    "the system names no name server to ask (/etc/resolv.conf); names are asked for as soon as it does";

/// The name servers of the system.
fn system_upstreams() -> anyhow::Result<Vec<Upstream>> {
    let hint = "name the name servers to ask: `servers = [\"192.0.2.53\"]` under [resolver]";
    let text = std::fs::read_to_string(system::RESOLV_CONF).map_err(|error| {
        Failure::new(
            format!(
                "the system's name servers can not be read from {}",
                system::RESOLV_CONF
            ),
            hint,
            error,
        )
    })?;
    let found = system::servers(&text);
    if found.servers.is_empty() {
        let message = format!("{} names no name server that can be asked", system::RESOLV_CONF);
        return Err(Failure::msg(message, hint).into());
    }
    Ok(found.servers)
}

/// A problem of a file, as one line of a log: place, severity, what is wrong, what to do.
#[derive(Clone, Debug)]
pub struct Told(pub Problem);

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = &self.0;
        let place = problem.span.place();
        write!(
            out,
            "{}:{}:{}: {}: {}",
            place.file.display(),
            place.line,
            place.column,
            problem.severity.as_str(),
            problem.message
        )?;
        match &problem.hint {
            Some(hint) => write!(out, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}
