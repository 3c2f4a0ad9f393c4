-- Whether a queue holds anything that it must be known for: jobs of any kind, records of ended ones, schedules, gradual
-- redrives and cancellations, a pause, a worker. Counters, limits of types and samples for plots do not count.
-- (Each is a function, so that a script makes only the list that it comes to.)

local function holds_waiting_jobs()
  return redis.call('EXISTS', P .. KEY.next, P .. KEY.throttled, EVERY.pending, EVERY.timed) > 0
end

local function holds_anything_else()
  return redis.call('EXISTS', P .. KEY.telling, P .. KEY.outboxes, P .. KEY.batches, EVERY.dead, P .. KEY.finished, P .. KEY.corrupt,
    P .. KEY.schedules, P .. KEY.ticks, P .. KEY.redrives, P .. KEY.cancellations, P .. KEY.paused, P .. KEY.registering, P .. KEY.workers, P .. KEY.fenced) > 0
end
