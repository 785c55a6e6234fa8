//! A router with an outside that writes down who called it, and providers that do as they are told.

use minirdr::base::clock::{Clock, ManualClock, SystemClock};
use minirdr::base::ids::Caller;
use minirdr::base::status::Status;
use minirdr::mup::net_name::NetName;
use minirdr::mup::refused::Refused;
use minirdr::mup::resolve::{Resolution, Resolved};
use minirdr::mup::router::{Outside, Router, RouterOptions};
use minirdr::mup::upcalls::{
    Agent, Claim, KernelNames, Provider, ProviderHandle, Purged, Upstream, Views,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

/// No condition in a test is waited for longer than this.
pub const LIMIT: Duration = Duration::from_secs(30);

pub const ROOT: Caller = Caller::local(1, 0, 0);

pub fn name(path: &str) -> NetName {
    NetName::parse(path.as_bytes()).expect("a good name")
}

/// Waits for a condition, with the bound.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let clock = SystemClock::new();
    let began = clock.now();
    while !condition() {
        assert!(clock.now().since(began) < LIMIT, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A callback that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Disable(NetName),
    Invalidate(NetName, Vec<NetName>),
    Forget(Vec<NetName>),
    Settle(NetName),
    Enable(NetName, Option<ProviderHandle>),
    Start(ProviderHandle, NetName),
    Stop(ProviderHandle, NetName),
}

impl Call {
    /// The prefix of a hand-over's callback.
    pub fn prefix(&self) -> Option<&NetName> {
        match self {
            Self::Disable(prefix)
            | Self::Invalidate(prefix, _)
            | Self::Settle(prefix)
            | Self::Enable(prefix, _) => Some(prefix),
            Self::Forget(_) | Self::Start(..) | Self::Stop(..) => None,
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::Disable(_) => "disable",
            Self::Invalidate(..) => "invalidate",
            Self::Forget(_) => "forget",
            Self::Settle(_) => "settle",
            Self::Enable(..) => "enable",
            Self::Start(..) => "start",
            Self::Stop(..) => "stop",
        }
    }
}

type Hook = Box<dyn Fn(&Call) + Send + Sync>;

/// Writes every callback down; `hook` hears it after that, inside the callback.
#[derive(Default)]
pub struct Recorder {
    calls: Mutex<Vec<Call>>,
    pub hook: OnceLock<Hook>,
    /// A notifier that does not get its notifications sent in time.
    pub stuck: std::sync::atomic::AtomicBool,
}

impl Recorder {
    fn record(&self, call: Call) {
        lock(&self.calls).push(call.clone());
        if let Some(hook) = self.hook.get() {
            hook(&call);
        }
    }

    /// What was called since the last time.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.calls))
    }

    pub fn all(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }
}

impl Agent for Recorder {
    fn disable(&self, prefix: &NetName) {
        self.record(Call::Disable(prefix.clone()));
    }
    fn enable(&self, prefix: &NetName, owner: Option<ProviderHandle>) {
        self.record(Call::Enable(prefix.clone(), owner));
    }
}

impl KernelNames for Recorder {
    fn invalidate(&self, prefix: &NetName, purged: &Purged) {
        let mut names = purged.names.clone();
        names.sort();
        self.record(Call::Invalidate(prefix.clone(), names));
    }
    fn forget(&self, purged: &Purged) {
        self.record(Call::Forget(purged.names.clone()));
    }
    fn settle(&self, prefix: &NetName) -> bool {
        self.record(Call::Settle(prefix.clone()));
        !self.stuck.load(Ordering::SeqCst)
    }
}

impl Upstream for Recorder {
    fn start(&self, owner: ProviderHandle, path: &NetName) {
        self.record(Call::Start(owner, path.clone()));
    }
    fn stop(&self, owner: ProviderHandle, path: &NetName) {
        self.record(Call::Stop(owner, path.clone()));
    }
}

type Script<T> = Box<dyn Fn(&NetName) -> Result<T, Status> + Send + Sync>;

/// Claims what its script says; counts what it is asked.
pub struct Scripted {
    pub name: &'static str,
    pub claim: Script<Claim>,
    /// Claims below no prefix too?
    pub anywhere: bool,
    pub share: Script<()>,
    pub views: Views,
    pub claims: AtomicU64,
    pub servers: AtomicU64,
    pub shares: AtomicU64,
    pub built_views: AtomicU64,
}

impl Scripted {
    pub fn new(name: &'static str, claim: Script<Claim>) -> Self {
        Self {
            name,
            claim,
            anywhere: true,
            share: Box::new(|_| Ok(())),
            views: Views::Shared,
            claims: AtomicU64::new(0),
            servers: AtomicU64::new(0),
            shares: AtomicU64::new(0),
            built_views: AtomicU64::new(0),
        }
    }

    /// Claims the first `depth` components of every name below its prefixes that has as many.
    pub fn of_depth(name: &'static str, depth: usize) -> Arc<Self> {
        Arc::new(Self { anywhere: false, ..Self::new(name, accepting(depth)) })
    }

    /// The same, of every name.
    pub fn everywhere(name: &'static str, depth: usize) -> Arc<Self> {
        Arc::new(Self::new(name, accepting(depth)))
    }

    pub fn asked(&self) -> [u64; 4] {
        [&self.claims, &self.servers, &self.shares, &self.built_views]
            .map(|count| count.load(Ordering::SeqCst))
    }
}

pub fn accepting(depth: usize) -> Script<Claim> {
    Box::new(move |name| {
        let long_enough = name.depth() >= depth;
        Ok(if long_enough { Claim::Accepted(depth) } else { Claim::Refused })
    })
}

/// A view of a share: whose, which, and who looks.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    pub provider: &'static str,
    pub share: NetName,
    pub caller: Caller,
}

impl Provider for Scripted {
    type Server = NetName;
    type Share = NetName;
    type View = View;

    fn claim(&self, name: &NetName, prefix: Option<&NetName>) -> Result<Claim, Status> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        assert!(prefix.is_none_or(|prefix| name.is_within(prefix)));
        if prefix.is_none() && !self.anywhere { Ok(Claim::Refused) } else { (self.claim)(name) }
    }

    fn create_srv_call(&self, server: &NetName) -> Result<NetName, Status> {
        self.servers.fetch_add(1, Ordering::SeqCst);
        Ok(server.clone())
    }

    fn create_net_root(&self, server: &Arc<NetName>, share: &NetName) -> Result<NetName, Status> {
        self.shares.fetch_add(1, Ordering::SeqCst);
        assert!(share.is_within(server));
        (self.share)(share).map(|()| share.clone())
    }

    fn create_v_net_root(&self, share: &Arc<NetName>, caller: Caller) -> Result<View, Status> {
        self.built_views.fetch_add(1, Ordering::SeqCst);
        Ok(View { provider: self.name, share: NetName::clone(share), caller })
    }

    fn views(&self) -> Views {
        self.views
    }
}

pub type TestRouter = Router<Scripted>;

/// A router, its outside and its clock.
pub struct Rig {
    pub router: Arc<TestRouter>,
    pub outside: Arc<Recorder>,
    pub clock: Arc<ManualClock>,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(true, RouterOptions::default())
    }

    pub fn with(agent: bool, options: RouterOptions) -> Self {
        let outside = Arc::new(Recorder::default());
        let clock = Arc::new(ManualClock::new());
        let agent = agent.then(|| outside.clone() as Arc<dyn Agent>);
        let called = Outside { agent, kernel: outside.clone(), upstream: outside.clone() };
        let router = Arc::new(Router::new(clock.clone(), called, options));
        Self { router, outside, clock }
    }

    /// Registers a provider that claims shares of this depth.
    pub fn provider(&self, name: &'static str, depth: usize) -> ProviderHandle {
        self.router.register(name, Scripted::of_depth(name, depth)).expect("a fresh name")
    }

    /// Registers it and takes a prefix that is its share.
    pub fn owner(&self, name_: &'static str, prefix: &str) -> ProviderHandle {
        let prefix = name(prefix);
        let handle = self.provider(name_, prefix.depth());
        self.router.take(handle, &prefix).expect("a free prefix");
        self.outside.take();
        handle
    }

    pub fn resolve(&self, path: &str) -> Result<Found, Status> {
        found(self.router.resolve(&name(path), ROOT, None))
    }

    /// The number of a refusal; 0 for success.
    pub fn code<T>(result: Result<T, Refused>) -> u32 {
        result.map_or_else(|refused| refused.code(), |_| 0)
    }
}

/// A resolution, so that it can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Directory,
    /// The provider's name and the share.
    Share(&'static str, String),
}

pub fn found(resolution: Result<Resolution<Scripted>, Status>) -> Result<Found, Status> {
    Ok(match resolution? {
        Resolution::Directory => Found::Directory,
        Resolution::Share(Resolved { route, view }) => {
            assert_eq!(*route.name(), view.share);
            Found::Share(view.provider, view.share.to_string())
        }
    })
}
