-- Store the results of jobs that ended well.
--
-- processing -> completed
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 default retention ms  3 the jobs, packed (MessagePack), each {id, token, duration ms, result, log},
--       where result and log may be left out, and a result of false is none
-- Returns  of those for which it is not OK the number, from 1 on, and ALREADY, STALE or MISSING (see inherit_limits)
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

local ended_of = {} -- job type -> jobs that ended well

local function note_completed(id, job_type, duration, kept)
  completed[#completed + 1] = id
  if kept then
    local at = #finished
    finished[at + 1], finished[at + 2] = now_text, id
  end
  ended_of[job_type] = (ended_of[job_type] or 0) + 1
  observe('run', job_type, duration + 0, 1)
end

-- Complete an attempt of a plain job that has no log, as nearly all are, where records are kept by default. Returns false
-- for any other: to that nothing was done.
local function complete_plain(id, token, duration, result)
  local record = P .. 'job:' .. id
  local fields = redis.pcall('HMGET', record, 'token', 'state', 'plain', 'children', 'type')
  local job_type = fields[5]
  if fields[1] ~= token or fields[2] ~= 'processing' or not fields[3] or fields[4] or not job_type then
    return false
  end
  if result then
    redis.call('HSET', record, 'state', 'completed', 'finished', now_text, 'duration', duration, 'result', result)
  else
    redis.call('HSET', record, 'state', 'completed', 'finished', now_text, 'duration', duration)
  end
  redis.call('PEXPIRE', record, retention)
  note_completed(id, job_type, duration, true)
  return true
end

-- Complete any job. Returns as inherit_limits does.
local function complete(id, token, duration, result, log)
  local answer, job = inherit_limits(worker, id, token)
  if answer == 'OK' then
    keep_log(id, log or '')
    local fields = result and { 'duration', duration, 'result', result } or { 'duration', duration }
    note_completed(id, job.type, duration, finish_record(id, 'completed', job, retention, unpack(fields)))
  elseif answer == 'STALE' then
    count('stale', 1)
  end
  return answer
end

local keeps_records = is_kept(retention)
for i, done in ipairs(cmsgpack.unpack(ARGV[3])) do
  local id, token, duration, result, log = done[1], done[2], done[3], done[4], done[5]
  if log or not (keeps_records and complete_plain(id, token, duration, result)) then
    local answer = complete(id, token, duration, result, log)
    if answer ~= 'OK' then
      exceptions[#exceptions + 1] = i
      exceptions[#exceptions + 1] = answer
    end
  end
end

for job_type, many in pairs(ended_of) do
  count('completed:' .. job_type, many)
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
