-- Store the results of jobs that ended well.
--
-- processing -> completed
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 default retention ms  3 the jobs, packed (MessagePack), each {id, token, duration ms, result, log},
--       where result and log may be omitted, and a result of false means none
-- Returns  for each job that is not OK: its number, counting from 1, and ALREADY, STALE or MISSING (see accept_outcome)

local worker, retention = ARGV[1], ARGV[2]
local own = P .. KEY.processing .. worker
local completed = {} -- ids, to be removed from the worker's list
local finished = {} -- score and id of each, for one write
local completed_of = {} -- job type -> number of jobs
allow_when_full()

-- Remove ids from the worker's list. Jobs that started first are at its right end, and as a rule end first: then two writes
-- do for all of them.
local function remove_from_list(ids)
  local tail = #ids > 1 and redis.call('LRANGE', own, -2 * #ids, -1) or {}
  local missing, left = {}, #ids
  for _, id in ipairs(ids) do
    missing[id] = true
  end
  local at, others = #tail, {}
  while left > 0 and at > 0 do
    local id = tail[at]
    if missing[id] then
      missing[id], left = nil, left - 1
    else
      table.insert(others, 1, id)
    end
    at = at - 1
  end
  if at < #tail then
    redis.call('LTRIM', own, 0, at - #tail - 1)
  end
  if #others > 0 then
    redis.call('RPUSH', own, unpack(others))
  end
  for id in pairs(missing) do
    redis.call('LREM', own, '-1', id)
  end
end

local function note_completed(id, job_type, duration, kept, usage)
  completed[#completed + 1] = id
  if kept then
    local at = #finished
    finished[at + 1], finished[at + 2] = now_text, id
  end
  completed_of[job_type] = (completed_of[job_type] or 0) + 1
  observe('run', job_type, duration + 0, 1)
  if usage then
    observe_usage(job_type, usage)
  end
end

-- One write for all jobs, wherever that is possible.
local function write_completed()
  for job_type, jobs in pairs(completed_of) do
    count(COUNTER.completed .. job_type, jobs)
  end
  if #completed > 0 then
    remove_from_list(completed)
  end
  if #finished > 0 then
    redis.call('ZADD', P .. KEY.finished, unpack(finished))
  end
  write_counts()
  write_observations()
end

-- Complete an attempt of a plain job that has no log, as nearly all are, where records are kept by default. Returns false
-- for any other: to that nothing was done.
local function complete_plain(id, token, duration, result, usage)
  local record = P .. KEY.job .. id
  local fields = redis.pcall('HMGET', record, 'token', 'state', 'plain', 'children', 'type')
  local job_type = fields[5]
  if fields[1] ~= token or fields[2] ~= STATE.processing or not fields[3] or fields[4] or not job_type then
    return false
  end
  if result then
    redis.call('HSET', record, 'state', STATE.completed, 'finished', now_text, 'duration', duration, 'result', result)
  else
    redis.call('HSET', record, 'state', STATE.completed, 'finished', now_text, 'duration', duration)
  end
  if usage then
    redis.call('HSET', record, 'usage', usage)
  end
  redis.call('PEXPIRE', record, retention)
  note_completed(id, job_type, duration, true, usage)
  return true
end

local outcomes, others = cmsgpack.unpack(ARGV[3]), {}
local keeps_records = tonumber(retention) > 0
for i, each in ipairs(outcomes) do
  if each[5] or not (keeps_records and complete_plain(each[1], each[2], each[3], each[4], each[6])) then
    others[#others + 1] = i
  end
end
if #others == 0 then
  write_completed()
  return {}
end

-- Complete any job. Returns what accept_outcome does.
local function complete(id, token, duration, result, log, usage)
  local answer, job = accept_outcome(worker, id, token)
  if answer == 'OK' then
    keep_log(id, log or '')
    job.result = result or nil
    local fields = { 'duration', duration }
    for name, value in pairs({ result = job.result, usage = usage }) do
      fields[#fields + 1], fields[#fields + 2] = name, value
    end
    note_completed(id, job.type, duration, finish_record(id, STATE.completed, job, retention, unpack(fields)), usage)
  elseif answer == 'STALE' then
    count(COUNTER.stale, 1)
  end
  return answer
end

local exceptions = {}
for _, i in ipairs(others) do
  local answer = complete(unpack(outcomes[i], 1, 6))
  if answer ~= 'OK' then
    exceptions[#exceptions + 1] = i
    exceptions[#exceptions + 1] = answer
  end
end
write_completed()
if children_released > 0 then
  ensure_next()
end
return exceptions
