-- Make a job a dead letter, which waits for an operator.
--
-- processing -> failed
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 id  3 token  4 class of the error  5 how the child died, e.g. SIGSEGV, else ''
--       6 duration ms  7 error (JSON)  8 history row (JSON)  9 log or ''
--       10 where it failed: file:line function, else ''  11 what it has used (see observe_usage), else ''
-- Returns  OK, ALREADY, STALE or MISSING (see settle)

local worker, id, token = ARGV[1], ARGV[2], ARGV[3]
local record = P .. KEY.job .. id
local answer, job = settle_failure(worker, id, token, ARGV[9])
if answer ~= 'OK' then
  return answer
end

redis.call('HSET', record, 'state', STATE.failed, 'settled', token, 'finished', now, 'duration', ARGV[6], 'error', ARGV[7],
  'history', with_row(redis.call('HGET', record, 'history'), ARGV[8]))
if ARGV[5] ~= '' then
  redis.call('HSET', record, 'crashes', with_row(redis.call('HGET', record, 'crashes'), ARGV[5]))
end
add_dead_letter(id, job.type, ARGV[4], ARGV[10])
observe('run', job.type, tonumber(ARGV[6]), 1)
observe_usage(job.type, ARGV[11])
after_end(id, STATE.failed, job)
if children_released > 0 then
  ensure_next()
end
write_counts()
write_observations()
return answer
