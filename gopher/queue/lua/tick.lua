-- Let a schedule fire: store its jobs and set its next time, if it is still as the caller read it.
--
-- - -> pending
--
-- KEYS  1 prefix
-- ARGV  1 name  2 definition, as the caller read it  3 expected next time (ms)  4 new next time (ms, '' for
--       never)  5 '1' to enqueue none while the last one has not ended
--       then for each job: id, type, priority, retention ms or '', expires or '', envelope,
--       limit key or '', callback or '', tenant or ''
-- Returns  FIRED and how many jobs are new, SKIPPED when the last one has not ended, or MOVED when another scheduler
--       was faster, or the schedule was changed

local name, last = ARGV[1], P .. KEY.last
allow_when_full()
if redis.call('HGET', P .. KEY.schedules, name) ~= ARGV[2]
    or redis.call('ZSCORE', P .. KEY.ticks, name) ~= ARGV[3] then
  return { 'MOVED' }
end

local function is_unfinished(id)
  local state = id and read_record(id, 'state')[1]
  return state and not ENDED[state]
end

if ARGV[4] == '' then
  redis.call('ZREM', P .. KEY.ticks, name)
else
  redis.call('ZADD', P .. KEY.ticks, ARGV[4], name)
end
if ARGV[5] == '1' and #ARGV > 5 and is_unfinished(redis.call('HGET', last, name)) then
  redis.call('HINCRBY', P .. KEY.totals, COUNTER.skipped_overlap .. name, 1)
  return { 'SKIPPED' }
end

local stored = 0
for i = 6, #ARGV, 9 do
  local id, job_type, priority = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local record = P .. KEY.job .. id
  if redis.call('EXISTS', record) == 0 then
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', STATE.pending, 'since', now,
      'schedule', name, 'envelope', ARGV[i + 5], 'plain', '1')
    if ARGV[i + 3] ~= '' then
      set_extra(id, 'retention', ARGV[i + 3])
    end
    if ARGV[i + 4] ~= '' then
      set_extra(id, 'expires', now + tonumber(ARGV[i + 4]))
    end
    if ARGV[i + 6] ~= '' then
      set_extra(id, 'bucket', job_type .. '/' .. ARGV[i + 6])
    end
    if ARGV[i + 7] ~= '' then
      set_extra(id, 'callback', ARGV[i + 7])
    end
    local tenant = ARGV[i + 8] ~= '' and ARGV[i + 8] or nil
    if tenant then
      redis.call('HSET', record, 'tenant', tenant)
    end
    push_pending('LPUSH', id, priority, tenant)
    redis.call('HSET', last, name, id)
    count(COUNTER.enqueued .. job_type .. ':' .. priority, 1)
    stored = stored + 1
  end
end
ensure_next()
write_counts()
return { 'FIRED', stored }
