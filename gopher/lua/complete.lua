-- Store the results of jobs that ended well.
--
-- processing -> completed
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 default retention ms  3 the jobs, packed (MessagePack), each {id, token, duration ms, result, log},
--       where a result or a log of '' is none
-- Returns  of those for which it is not OK the number, from 1 on, and ALREADY, STALE or MISSING (see take_over)
-- uses: base clock alarm arm dead ended finish release settle observe
local worker, retention, exceptions = ARGV[1], ARGV[2], {}
local own = P .. 'processing:' .. worker
local completed = {} -- ids, to be taken out of the worker's list
local finished = {} -- score and id of each, for one write
open_when_full()

-- Take ids out of the worker's list. What was begun first stands at its right end, and ends first as a rule: there, two
-- writes do for all of them.
local function take_out(ids)
  local tail = #ids > 1 and redis.call('LRANGE', own, -2 * #ids, -1) or {}
  local missing, left = {}, #ids
  for _, id in ipairs(ids) do
    missing[id] = true
  end
  local at, stay = #tail, {}
  while left > 0 and at > 0 do
    local id = tail[at]
    if missing[id] then
      missing[id], left = nil, left - 1
    else
      table.insert(stay, 1, id)
    end
    at = at - 1
  end
  if at < #tail then
    redis.call('LTRIM', own, 0, at - #tail - 1)
  end
  if #stay > 0 then
    redis.call('RPUSH', own, unpack(stay))
  end
  for id in pairs(missing) do
    redis.call('LREM', own, '-1', id)
  end
end

for i, done in ipairs(cmsgpack.unpack(ARGV[3])) do
  local id, token, duration, result, log = unpack(done)
  local answer, job = take_over(worker, id, token)
  if answer == 'OK' then
    completed[#completed + 1] = id
    keep_log(id, log)
    local kept
    if result == '' then
      kept = finish_record(id, 'completed', job, retention, 'duration', duration)
    else
      kept = finish_record(id, 'completed', job, retention, 'duration', duration, 'result', result)
    end
    if kept then
      finished[#finished + 1] = now_text
      finished[#finished + 1] = id
    end
    count('completed:' .. job.type, 1)
    observe('run', job.type, tonumber(duration))
  else
    exceptions[#exceptions + 1] = i
    exceptions[#exceptions + 1] = answer
    if answer == 'STALE' then
      count('stale', 1)
    end
  end
end

if #completed > 0 then
  take_out(completed)
end
if #finished > 0 then
  redis.call('ZADD', P .. 'finished', unpack(finished))
end
if ended_went > 0 then
  arm()
end
write_counts()
write_observations()
return exceptions
