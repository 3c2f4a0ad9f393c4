-- Cancel a job: at once while it waits; a running one is marked, and its worker learns of it from the heartbeat.
--
-- pending, scheduled, retrying -> cancelled
--
-- KEYS  1 prefix
-- ARGV  1 id  2 default retention ms
-- Returns  CANCELLED, CANCELLING (it runs), MISSING, or the state that it ended in before

local id = ARGV[1]
local fields = read_to_cancel(id)
local state = fields[1]
if not state then
  return 'MISSING'
end

allow_when_full()
if RUNNING[state] then
  ask_to_stop(id, fields[5])
  return 'CANCELLING'
end
if not WAITING[state] then
  return state
end

if IS_TIMED[state] then
  redis.call('ZREM', P .. state, id)
elseif fields[8] and fields[8] ~= '' then
  leave_throttled(P .. KEY.parked .. fields[8] .. ':' .. fields[3], id, fields[3])
elseif redis.call('LREM', P .. KEY.next, 1, id) == 0 and not was_handed_over(id) then
  leave_pending(id, fields[3], fields[11])
end

end_waiting(id, fields, STATE.cancelled, COUNTER.cancelled, ARGV[2])
ensure_next()
write_counts()
return 'CANCELLED'
