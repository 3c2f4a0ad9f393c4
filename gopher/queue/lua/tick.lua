-- Let a schedule fire: store its jobs and move its next time on, if it still stands as the caller saw it.
--
-- - -> pending
--
-- KEYS  1 prefix
-- ARGV  1 name  2 definition, as the caller read it  3 expected next time (ms)  4 new next time (ms, '' for
--       never)  5 '1' to leave the jobs out while the last one is unfinished
--       then for each job: id, type, priority, retention ms or '', expires or '', envelope,
--       limit key or ''
-- Returns  FIRED and how many jobs are new, SKIPPED when the last one is unfinished, or MOVED when somebody
--       else was faster, or the schedule was changed
-- uses: base clock rare arm
local name, last = ARGV[1], P .. 'last'
open_when_full()
if redis.call('HGET', P .. 'schedules', name) ~= ARGV[2]
    or redis.call('ZSCORE', P .. 'ticks', name) ~= ARGV[3] then
  return { 'MOVED' }
end

local function unfinished(id)
  local state = id and read(id, 'state')[1]
  return state == 'pending' or state == 'processing' or state == 'scheduled' or state == 'retrying'
end

if ARGV[4] == '' then
  redis.call('ZREM', P .. 'ticks', name)
else
  redis.call('ZADD', P .. 'ticks', ARGV[4], name)
end
if ARGV[5] == '1' and #ARGV > 5 and unfinished(redis.call('HGET', last, name)) then
  redis.call('HINCRBY', P .. 'totals', 'skipped_overlap:' .. name, 1)
  return { 'SKIPPED' }
end

local fired = 0
for i = 6, #ARGV, 7 do
  local id, job_type, priority = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local record = P .. 'job:' .. id
  if redis.call('EXISTS', record) == 0 then
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', 'pending', 'since', now,
      'schedule', name, 'envelope', ARGV[i + 5], 'plain', '1')
    if ARGV[i + 3] ~= '' then
      set_rare(id, 'retention', ARGV[i + 3])
    end
    if ARGV[i + 4] ~= '' then
      set_rare(id, 'expires', now + tonumber(ARGV[i + 4]))
    end
    if ARGV[i + 6] ~= '' then
      set_rare(id, 'bucket', job_type .. '/' .. ARGV[i + 6])
    end
    redis.call('LPUSH', P .. 'pending:' .. priority, id)
    redis.call('HSET', last, name, id)
    count('enqueued:' .. job_type .. ':' .. priority, 1)
    fired = fired + 1
  end
end
arm()
write_counts()
return { 'FIRED', fired }
