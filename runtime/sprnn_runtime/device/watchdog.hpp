// Ends a launch that takes too long, even one whose thread runs on and on without a wait.
#pragma once

#include <csignal>
#include <ctime>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace sprnn_sim {

// While it lives, and once `seconds` have passed, `expired` is true. Where nobody has looked at that a
// second later, `leave` is called every second, from a signal handler on this CPU thread.
class Watchdog {
 public:
  Watchdog(double seconds, void (*leave)()) : leave_(leave) {
    struct sigaction action = {};
    action.sa_sigaction = on_time;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;  // not deferred: `leave` may never return
    sigaction(signal(), &action, nullptr);
    struct sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = signal();
    event.sigev_value.sival_ptr = this;
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) return;  // `expired` then stays false
    runs_ = true;
    struct itimerspec at = {};
    at.it_value.tv_sec = (time_t)seconds;
    at.it_value.tv_nsec = (long)((seconds - (double)at.it_value.tv_sec) * 1e9) + 1;
    at.it_interval.tv_sec = 1;
    timer_settime(timer_, 0, &at, nullptr);
  }
  ~Watchdog() {
    if (runs_) timer_delete(timer_);
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  volatile bool expired = false;

 private:
  static int signal() { return SIGRTMIN + 11; }
  static void on_time(int, siginfo_t* info, void*) {
    Watchdog& self = *static_cast<Watchdog*>(info->si_value.sival_ptr);
    if (self.expired) self.leave_();
    self.expired = true;
  }

  void (*leave_)();
  timer_t timer_;
  bool runs_ = false;
};

}  // namespace sprnn_sim
