use super::*;
use crate::text::AnswerLimits;

fn engine(config: &Config) -> Arc<Engine> {
    Arc::new(Engine::new(config, Arc::new(StateWatch::new())))
}

fn job(prompt: u64, answer: usize) -> Arc<Job> {
    let bounds = AnswerLimits { tokens_max: answer, ignore_end: true, stop: Vec::new() };
    Arc::new(Job {
        prompts: vec![(0..prompt).collect()],
        scripts: vec![Script::prose(prompt, &bounds)],
    })
}

fn timed(ttft_ms: u64, itl_ms: u64) -> Config {
    Config {
        ttft: Duration::from_millis(ttft_ms),
        itl: Duration::from_millis(itl_ms),
        ..Config::default()
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_come_when_they_are_due() {
    let start = clock::now();
    let mut run = engine(&timed(100, 10)).enter().unwrap().run(job(4, 3)).await;
    let mut seen = Vec::new();
    while let Some(step) = run.next().await {
        seen.push((step.to, clock::now() - start));
    }
    let ms = Duration::from_millis;
    assert_eq!(seen, [(1, ms(100)), (2, ms(110)), (3, ms(120))]);
}

#[tokio::test(start_paused = true)]
async fn a_lagging_reader_gets_several_tokens_at_once() {
    let mut run = engine(&timed(0, 10)).enter().unwrap().run(job(4, 9)).await;
    assert_eq!(run.next().await, Some(DecodeStep { from: 0, to: 1 }));
    tokio::time::advance(Duration::from_millis(35)).await;
    assert_eq!(run.next().await, Some(DecodeStep { from: 1, to: 4 }));
}

#[tokio::test]
async fn without_time_between_tokens_each_is_its_own_step() {
    let mut run = engine(&timed(0, 0)).enter().unwrap().run(job(4, 3)).await;
    let mut steps = 0;
    while run.next().await.is_some() {
        steps += 1;
    }
    assert_eq!(steps, 3);
}

#[tokio::test]
async fn a_request_waits_for_a_slot_and_leaves_no_trace() {
    let engine = engine(&Config { max_num_seqs: 1, ..Config::default() });
    let running = engine.enter().unwrap().run(job(4, 3)).await;
    let second = engine.enter().unwrap();
    let state = engine.state.now();
    assert_eq!((state.running, state.waiting), (1, 1));
    drop(running);
    let second = second.run(job(4, 3)).await;
    assert_eq!(engine.state.now().running, 1);
    drop(second);
    assert_eq!((engine.state.now().running, engine.cache().usage().0), (0, 0));
}

#[tokio::test]
async fn the_cap_counts_running_and_waiting_requests() {
    let config = Config { max_num_seqs: 1, max_num_queued_reqs: Some(2), ..Config::default() };
    let engine = engine(&config);
    let _running = engine.enter().unwrap().run(job(4, 3)).await;
    let _waiting = engine.enter().unwrap();
    assert_eq!(engine.enter().unwrap_err(), QueueFull);
}

#[tokio::test]
async fn the_next_turn_of_a_chat_finds_the_answer_in_the_cache() {
    let engine = engine(&Config { block_size: 4, ..Config::default() });
    let first = job(8, 8);
    let mut run = engine.enter().unwrap().run(first.clone()).await;
    run.complete().await;
    run.finish();
    drop(run);
    let mut longer = first.prompts[0].clone();
    first.scripts[0].encode(&mut longer);
    longer.extend([1, 2, 3]);
    let next = Arc::new(Job { prompts: vec![longer], scripts: Vec::new() });
    let run = engine.enter().unwrap().run(next).await;
    assert_eq!(run.prompt.cached, 16);
}
