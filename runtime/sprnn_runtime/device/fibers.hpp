// Runs a kernel on one CPU thread: every GPU thread of the grid is a fiber, scheduled by a seed.
//
// All blocks are resident, as in a cooperative launch, and several devices may launch a grid each, which run side
// by side. The order of blocks and warps, stalls, and
// the delay of relaxed stores are drawn from the seed, so that a race shows on some seed and a
// failure can be repeated. When nothing can make progress any more, or the launch takes longer than its
// limit, it ends with a report.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "watchdog.hpp"

#if !defined(__x86_64__) || defined(SPRNN_SIM_UCONTEXT)
#include <ucontext.h>
#define SPRNN_SIM_PORTABLE 1
#endif

namespace sprnn_sim {

constexpr unsigned kLanes = 32;
constexpr size_t kStackBytes = 64 << 10;  // of a fiber, besides what the kernel's own frames take
constexpr size_t kSharedAlign = 128;
constexpr uint64_t kRoundNs = 100;  // simulated time that one scheduler round takes

// ---- context switch -------------------------------------------------------------------------------

#ifdef SPRNN_SIM_PORTABLE
struct Context {
  ucontext_t state;
};
inline void switch_to(Context& from, Context& to) { swapcontext(&from.state, &to.state); }
inline void prepare(Context& context, char* stack, size_t stack_bytes, void (*body)()) {
  getcontext(&context.state);
  context.state.uc_stack.ss_sp = stack;
  context.state.uc_stack.ss_size = stack_bytes;
  context.state.uc_link = nullptr;
  makecontext(&context.state, body, 0);
}
#else
struct Context {
  void* stack_pointer;
};
extern "C" void sprnn_sim_switch(void** save, void* load);
asm(".text\n"
    ".local sprnn_sim_switch\n"
    ".type sprnn_sim_switch,@function\n"
    "sprnn_sim_switch:\n"  // saves what a call must preserve, and continues where `load` was saved
    "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp,(%rdi)\n"
    "  mov %rsi,%rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
    "  ret\n"
    ".size sprnn_sim_switch,.-sprnn_sim_switch\n");
inline void switch_to(Context& from, Context& to) {
  sprnn_sim_switch(&from.stack_pointer, to.stack_pointer);
}
inline void prepare(Context& context, char* stack, size_t stack_bytes, void (*body)()) {
  void** top = reinterpret_cast<void**>(stack + stack_bytes);
  *--top = nullptr;  // keeps the stack 16-byte aligned at the first call
  *--top = reinterpret_cast<void*>(body);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context.stack_pointer = top;
}
#endif

// ---- threads --------------------------------------------------------------------------------------

// A place where threads wait for each other. `vote` is or-ed over the arrivals of one generation.
struct Gate {
  unsigned live = 0, arrived = 0, generation = 0;
  int vote = 0, result[2] = {};
  const char* where = nullptr;
};

struct Warp {
  Gate gate;
  uint64_t exchanged[2][kLanes];
};

struct Block {
  unsigned device = 0, index = 0;
  Gate gate;
  std::vector<Warp> warps;
  std::vector<unsigned char> shared;
  unsigned running = 0;
};

struct Index {
  unsigned x, y = 0, z = 0;
};

struct Fiber {
  Context context;
  Index thread;
  Block* block;
  Warp* warp;
  unsigned lane = 0, exchanges = 0;
  const Gate* waits_at = nullptr;  // with the generation that must pass
  unsigned generation = 0;
  uint64_t spun_in_round = 0;
  bool done = false;
  const char* where = "its start";
};

// A relaxed store that is not visible yet.
struct LateStore {
  unsigned* to;
  unsigned words[4];
  int count;
  const Block* block;
  uint64_t due;
};

struct Machine {
  std::vector<std::function<void()>> kernels;  // one for each device
  Context scheduler;
  Fiber* current = nullptr;
  Index grid{0}, block{0};
  std::vector<Block> blocks;
  std::vector<Fiber> fibers;
  std::vector<LateStore> late;
  uint64_t round = 1, switches = 0, random = 0;
  uint64_t progress = 0;  // block barriers passed, stores, threads that ended: what a failed poll does not do
  unsigned store_delay = 0;
  const Watchdog* watchdog = nullptr;
  std::string failure;

  unsigned draw(unsigned below) {  // a 64-bit LCG, high bits
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)((random >> 33) % below);
  }
};

inline thread_local Machine* machine = nullptr;  // each CPU thread may run a launch of its own

inline void yield() {
  Machine& m = *machine;
  ++m.switches;
  switch_to(m.current->context, m.scheduler);
}

inline void fail(const std::string& why) {
  if (machine->failure.empty()) machine->failure = why;
  yield();
}

inline std::string place(const Fiber& f, const char* where) {
  const std::string device =
      machine->kernels.size() > 1 ? "device " + std::to_string(f.block->device) + " " : "";
  return device + "block " + std::to_string(f.block->index) + " thread " + std::to_string(f.thread.x) + " at " + where;
}

// Arrives at `gate`, waits for all, and returns the or of all votes.
inline int meet(Gate& gate, const char* where, int vote) {
  Fiber& self = *machine->current;
  const unsigned generation = gate.generation;
  self.where = where;
  if (gate.arrived == 0) {
    gate.where = where;
  } else if (std::strcmp(gate.where, where) != 0) {
    fail("divergent barrier: " + place(self, where) + ", while others of its block wait at " + gate.where);
  }
  gate.vote |= vote;
  if (++gate.arrived == gate.live) {
    gate.result[generation & 1] = gate.vote;
    gate.vote = 0;
    gate.arrived = 0;
    ++gate.generation;
    if (&gate == &self.block->gate) ++machine->progress;
  } else {
    self.waits_at = &gate;
    self.generation = generation;
    yield();
    self.waits_at = nullptr;
  }
  return gate.result[generation & 1];
}

inline int meet_block(const char* where, int vote = 0) { return meet(machine->current->block->gate, where, vote); }
inline void meet_warp(const char* where) { meet(machine->current->warp->gate, where, 0); }

// A failed poll: nothing was achieved, so others run first.
inline void spin(const char* where) {
  Machine& m = *machine;
  m.current->where = where;
  m.current->spun_in_round = m.round;
  yield();
}

inline unsigned char* dynamic_shared() {
  std::vector<unsigned char>& shared = machine->current->block->shared;
  const uintptr_t at = reinterpret_cast<uintptr_t>(shared.data());
  return reinterpret_cast<unsigned char*>((at + kSharedAlign - 1) / kSharedAlign * kSharedAlign);
}

inline uint64_t time_ns() { return machine->round * kRoundNs; }

inline void apply(const LateStore& s) { std::memcpy(s.to, s.words, 4 * s.count); }

inline void store_later(void* to, const unsigned* words, int count) {
  Machine& m = *machine;
  ++m.progress;
  LateStore s{static_cast<unsigned*>(to), {}, count, m.current->block, m.round + m.draw(m.store_delay + 1)};
  std::memcpy(s.words, words, 4 * count);
  if (s.due == m.round) return apply(s);
  m.late.push_back(s);
}

// What the block stored before becomes visible before anything that follows.
inline void release_stores() {
  Machine& m = *machine;
  ++m.progress;
  std::vector<LateStore> kept;
  for (const LateStore& s : m.late) {
    if (s.block == m.current->block) apply(s);
    else kept.push_back(s);
  }
  m.late.swap(kept);
}

// The lane that a shuffle down reads: its own where there is none so far down.
inline unsigned lane_below(unsigned distance) {
  const unsigned lane = machine->current->lane;
  return lane + distance < kLanes ? lane + distance : lane;
}

template <class T>
T exchange_lanes(T value, unsigned from, const char* where) {
  static_assert(sizeof(T) <= 8, "shuffles move 4 or 8 bytes");
  Fiber& self = *machine->current;
  uint64_t* slots = self.warp->exchanged[self.exchanges++ & 1];
  std::memcpy(&slots[self.lane], &value, sizeof(T));
  meet_warp(where);
  std::memcpy(&value, &slots[from], sizeof(T));
  return value;
}

// ---- scheduler ------------------------------------------------------------------------------------

[[noreturn]] inline void fiber_body() {
  Machine& m = *machine;
  m.kernels[m.current->block->device]();
  Fiber& self = *m.current;
  self.done = true;
  ++m.progress;
  --self.block->running;
  if (self.block->gate.arrived) {
    fail("divergent barrier: " + place(self, "its end") + ", while others of its block wait at " + self.block->gate.where);
  }
  --self.block->gate.live;
  --self.warp->gate.live;
  yield();
  std::abort();  // a finished fiber is never resumed
}

inline void make_visible(Machine& m) {
  if (m.late.empty()) return;
  std::vector<LateStore> kept;
  for (const LateStore& s : m.late) {
    if (s.due <= m.round) {
      apply(s);
      ++m.progress;
    } else {
      kept.push_back(s);
    }
  }
  m.late.swap(kept);
}

inline std::string waiting_threads(const Machine& m) {
  std::string text;
  unsigned shown = 0, waiting = 0, left = 0;
  const char* last = "";
  for (const Fiber& f : m.fibers) {
    if (f.done) {
      if (f.block->running) ++left;
      continue;
    }
    ++waiting;
    if (shown < 12 && std::strcmp(last, f.where) != 0) {
      text += "  " + place(f, f.where) + "\n";
      last = f.where;
      ++shown;
    }
  }
  text += "  " + std::to_string(waiting) + " threads wait in all";
  if (left) text += "; " + std::to_string(left) + " threads of their blocks have left the kernel";
  return text;
}

inline std::string deadlock_report(const Machine& m) {
  return "deadlock: no thread can make progress\n" + waiting_threads(m);
}

inline std::string overtime_report(const Machine& m, const Fiber& f) {
  return "it ran longer than its limit; the last to run was " + place(f, f.where) + "\n" + waiting_threads(m);
}

// Runs the lanes of one warp until none can go on.
inline void run_warp(Machine& m, Fiber* lanes, unsigned count) {
  const unsigned start = m.draw(count);
  for (bool ran = true; ran && m.failure.empty();) {
    ran = false;
    for (unsigned i = 0; i < count; ++i) {
      Fiber& f = lanes[(start + i) % count];
      if (f.done || f.spun_in_round == m.round) continue;
      if (f.waits_at && f.waits_at->generation == f.generation) continue;
      m.current = &f;
      switch_to(m.scheduler, f.context);
      m.current = nullptr;
      ran = true;
      if (m.watchdog->expired) m.failure = overtime_report(m, f);
      if (!m.failure.empty()) return;
    }
  }
}

struct Options {
  unsigned seed, deadlock_rounds, store_delay;
  size_t frame_bytes;  // what the kernel's own frames take of a stack
  double limit_seconds;
};

// Called in a signal handler: back to the scheduler from wherever a fiber is. It is not resumed.
inline void leave_fiber() {
  Machine& m = *machine;
  if (m.current) switch_to(m.current->context, m.scheduler);
}

inline void run_machine(Machine& m, const Options& options) {
  std::vector<unsigned> order(m.blocks.size());
  for (unsigned i = 0; i < order.size(); ++i) order[i] = i;
  const unsigned threads = m.block.x, warps = (threads + kLanes - 1) / kLanes;
  unsigned idle = 0;
  for (size_t running = m.blocks.size(); running && m.failure.empty(); ++m.round) {
    const uint64_t before = m.progress;
    make_visible(m);
    for (unsigned i = (unsigned)order.size(); i > 1; --i) std::swap(order[i - 1], order[m.draw(i)]);
    for (unsigned b : order) {
      Block& block = m.blocks[b];
      if (!block.running) continue;
      const unsigned first = m.draw(warps);
      for (unsigned w = 0; w < warps && m.failure.empty(); ++w) {
        const unsigned warp = (first + w) % warps;
        if (options.seed && m.draw(8) == 0) continue;  // this warp stalls for a round
        const unsigned lane0 = warp * kLanes;
        run_warp(m, &m.fibers[(size_t)b * threads + lane0], std::min(kLanes, threads - lane0));
      }
      if (!block.running) --running;
    }
    idle = m.progress == before ? idle + 1 : 0;
    if (options.deadlock_rounds && idle > options.deadlock_rounds + options.store_delay) m.failure = deadlock_report(m);
  }
}

// Launches each of `kernels` on a grid of its own; returns the report of a failure, empty when all threads finished.
inline std::string launch(std::vector<std::function<void()>> kernels, unsigned grid, unsigned threads, size_t shared_bytes,
                          const Options& options, uint64_t* statistics) {
  Machine m;
  m.kernels = std::move(kernels);
  const unsigned blocks = grid * (unsigned)m.kernels.size();
  m.grid = {grid};
  m.block = {threads};
  m.random = options.seed;
  m.store_delay = options.store_delay;
  m.blocks.resize(blocks);
  m.fibers.resize((size_t)blocks * threads);
  const size_t stack_bytes = kStackBytes + (options.frame_bytes + 4095) / 4096 * 4096;
  const size_t stacks_bytes = m.fibers.size() * stack_bytes;
  char* stacks = static_cast<char*>(mmap(nullptr, stacks_bytes, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (stacks == MAP_FAILED) {
    return "not enough memory for " + std::to_string(m.fibers.size()) + " stacks of " +
           std::to_string(stack_bytes) + " bytes";
  }
  for (unsigned b = 0; b < blocks; ++b) {
    Block& block = m.blocks[b];
    block.device = b / grid;
    block.index = b % grid;
    block.gate.live = block.running = threads;
    block.warps.resize((threads + kLanes - 1) / kLanes);
    block.shared.assign(shared_bytes + kSharedAlign, 0xCB);  // shared memory starts as garbage
    for (unsigned t = 0; t < threads; ++t) {
      Fiber& f = m.fibers[(size_t)b * threads + t];
      f.thread = {t};
      f.lane = t % kLanes;
      f.block = &block;
      f.warp = &block.warps[t / kLanes];
      ++f.warp->gate.live;
      prepare(f.context, stacks + ((size_t)b * threads + t) * stack_bytes, stack_bytes, fiber_body);
    }
  }
  Machine* outer = machine;
  machine = &m;
  {
    Watchdog watchdog(options.limit_seconds, leave_fiber);
    m.watchdog = &watchdog;
    run_machine(m, options);
  }
  machine = outer;
  for (const LateStore& s : m.late) apply(s);
  munmap(stacks, stacks_bytes);
  statistics[0] = m.switches;
  statistics[1] = m.round;
  return m.failure;
}

}  // namespace sprnn_sim
