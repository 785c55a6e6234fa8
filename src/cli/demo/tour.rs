//! The steps of the demo, in the order of cli.md's tour.

use crate::cli::demo::stage::{Expect, Stage};
use crate::cli::exit::Trouble;

/// Walks through all steps; answers how many there were.
pub fn tour(stage: &mut Stage) -> Result<usize, Trouble> {
    let name = stage.name().to_owned();
    let directory = stage.mount_point_text();
    let hello = format!("{directory}/hello.txt");
    let story = format!("{directory}/story.txt");

    stage.say("A server in memory, mounted in the background, and two files on it.")?;
    stage.minirdr(
        &["mount", "memory:", &directory, "--name", &name],
        Expect::exit(0).out("memory: mounted on"),
    )?;
    stage.find_daemon()?;
    stage.shell(&format!("echo 'Good morning.' > {hello}"), Expect::exit(0))?;
    stage.shell(&format!("seq 1 100000 > {story}"), Expect::exit(0))?;
    stage.shell(&format!("cat {hello}"), Expect::exit(0).out("Good morning."))?;
    stage.minirdr(&["list"], Expect::exit(0).out(&name).out("running"))?;

    stage
        .say("Somebody holds a file open. Who is in the way of a stop? Asking changes nothing.")?;
    let reader = stage.open_reader(&story)?;
    let holder = format!("sleep[{reader}]");
    let check = Expect::exit(10).out("would wait for").out(&holder).out("story.txt");
    stage.minirdr(&["stop", &name, "--check"], check)?;

    stage.say(
        "A stop answers at once. With a grace, who is inside may finish; nobody new comes in.",
    )?;
    let pending = Expect::exit(0).out("pending").out(&holder).out("story.txt");
    stage.minirdr(&["stop", &name, "--grace", "1m", "--reason", "demo"], pending)?;
    let refused = Expect::failure().err("Resource temporarily unavailable");
    stage.shell(&format!("cat {hello}"), refused)?;

    stage.say("The holder closes, and the stop ends.")?;
    stage.end_reader()?;
    let stopped = Expect::exit(0).out("stopped, nothing unsent, still mounted");
    stage.minirdr(&["wait", &name, "--timeout", "30s"], stopped)?;

    stage.say("It is stopped and still mounted. What is new is refused, clearly, and at once.")?;
    stage.shell(&format!("mountpoint {directory}"), Expect::exit(0).out("is a mountpoint"))?;
    let refused = Expect::failure().err("Cannot send after transport endpoint shutdown");
    stage.shell(&format!("cat {hello}"), refused)?;
    stage.minirdr(&["status", &name], Expect::exit(3).out("stopped"))?;
    stage.minirdr(&["stop", &name], Expect::exit(0).out("already stopped"))?;

    stage.say("Start again, under the same mount: all is there.")?;
    stage.minirdr(&["start", &name], Expect::exit(0).out("running"))?;
    stage.shell(&format!("cat {hello}"), Expect::exit(0).out("Good morning."))?;
    stage.shell(&format!("wc -l {story}"), Expect::exit(0).out("100000"))?;

    stage.say("Unmount: it returns when all is saved.")?;
    stage.minirdr(&["umount", &name], Expect::exit(0).out("unmounted"))?;
    stage.check_unmounted()?;
    Ok(stage.steps())
}
