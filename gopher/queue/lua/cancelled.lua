-- End a running job whose child was stopped because it was cancelled.
--
-- processing -> cancelled
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 id  3 token  4 history row (JSON)  5 log or ''  6 default retention ms
-- Returns  OK, ALREADY, STALE or MISSING (see settle)

local id = ARGV[2]
local answer, job = settle(ARGV[1], id, ARGV[3], ARGV[5])
if answer ~= 'OK' then
  return answer
end

local fields = read_record(id, 'started', 'history')
finish(id, STATE.cancelled, job, ARGV[6], 'settled', ARGV[3], 'duration', now - (tonumber(fields[1]) or now),
  'history', with_row(fields[2], ARGV[4]))
count(COUNTER.cancelled .. job.type, 1)
if children_released > 0 then
  ensure_next()
end
write_counts()
return answer
