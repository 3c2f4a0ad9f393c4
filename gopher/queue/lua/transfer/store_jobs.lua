-- Store jobs of an export, each in the state that it had. A repeat stores nothing twice, even if the jobs of the first call
-- have ended and are gone. Jobs that may run come behind those that wait already.
--
-- - -> pending, scheduled, retrying, failed, or ended
--
-- KEYS  1 prefix
-- ARGV  1 digest of the call's jobs  2 for how many ms it is remembered  3 a packed list (MessagePack) of jobs, then their
--       fields and values. Of a job the list has: id, type, priority, state, when it is due, or has ended (ms), when its
--       record expires (ms), until when its unique key counts (ms), ids of the jobs that it waits for, id of one that has failed
--       it, name of its group of dead letters, number of fields; '' for what it does not have
-- Returns  REPEATED, else OK, then the number of each job that was not stored, from 1 on, and EXISTS, EXPIRED, or DUPLICATE
--       when another job has its unique key

if redis.call('ZSCORE', P .. KEY.imported, ARGV[1]) then
  return { 'REPEATED' }
end
-- It changes nothing. As the first write, it has a server that is out of memory refuse the whole call.
redis.call('ZADD', P .. KEY.imported, 'XX', now, ARGV[1])

local earliest = nil
local arg = 4 -- the first argument of the next job's fields

local function wait_until(id, state, due)
  redis.call('ZADD', P .. state, due, id)
  earliest = math.min(earliest or due, due)
end

-- Have a job wait for its parents. Returns how many these are, and one that has failed it.
local function follow(job, on_failure)
  local waiting_for, failed = 0, job.failed_by ~= '' and job.failed_by or nil
  for _, parent in ipairs(split(job.waits_for)) do
    local fields = read_record(parent, 'state', 'children')
    local state = fields[1]
    if not state then
      await_parent(parent, job.id)
      waiting_for = waiting_for + 1
    elseif not ENDED[state] then
      add_children(parent, fields[2] or nil, { job.id })
      waiting_for = waiting_for + 1
    elseif not SUCCEEDED[state] and on_failure ~= 'run' then
      failed = failed or parent
    end
  end
  return waiting_for, failed
end

-- Note that a job will read the results of its parents.
local function note_reader(id, parents)
  for _, parent in ipairs(split(parents)) do
    if SUCCEEDED[read_record(parent, 'state')[1]] then
      add_readers(parent, { id })
    end
  end
end

-- Put a job that has not ended where it waits. Returns whether it waits.
local function place_waiting(job, record, fields)
  local waiting_for, failed = follow(job, fields[2])
  if failed then
    fail_child(failed, job.id, record, job.type)
    free_unique_key(job.id, fields[3], true)
    if fields[5] then
      post_state(job.id, STATE.failed, fields[5])
    end
    return false
  end
  redis.call('HSET', record, 'since', now)
  note_reader(job.id, fields[1])
  if waiting_for > 0 then
    redis.call('HSET', record, 'state', STATE.scheduled, 'waiting_for', waiting_for)
    redis.call('ZADD', P .. KEY.scheduled, NEVER, job.id)
  elseif IS_TIMED[job.state] and job.at > now then
    wait_until(job.id, job.state, job.at)
  else
    redis.call('HSET', record, 'state', STATE.pending)
    queue_up(job.id, job.priority, fields[6])
  end
  return true
end

local function place(job, record)
  if FINISHED[job.state] then
    redis.call('PEXPIREAT', record, job.expires)
    redis.call('ZADD', P .. KEY.finished, job.at, job.id)
    return
  end
  count_stored(job.type, job.priority)
  if DEAD[job.state] then
    return put_dead_letter(job.id, job.group, job.at)
  end
  local fields = redis.call('HMGET', record, 'parents', 'on_parent_failure', 'unique', 'owner', 'tells', 'tenant')
  if fields[3] and job.unique_until > now then
    redis.call('SET', P .. KEY.unique .. fields[3], job.id, 'PXAT', job.unique_until)
  end
  if place_waiting(job, record, fields) then
    count_owner(fields[4], 1)
  end
end

-- Return the unfinished job that has the unique key of a job which is to be stored, or nil.
local function other_holder(job, from, to)
  for at = from, to, 2 do
    if ARGV[at] == 'unique' and not ENDED[job.state] and job.unique_until > now then
      return (holder_of(ARGV[at + 1], job.type))
    end
  end
end

-- Store a job. Returns why it was not stored.
local function store(job, from, to)
  local record = P .. KEY.job .. job.id
  if redis.call('EXISTS', record) == 1 then
    link_awaiting(job.id, job.id, read_record(job.id, 'state')[1])
    return 'EXISTS'
  elseif job.expires ~= '' and tonumber(job.expires) <= now then
    link_awaiting(job.id, job.id, job.state)
    return 'EXPIRED'
  end
  local holder = other_holder(job, from, to)
  if holder then
    link_awaiting(job.id, holder, nil)
    return 'DUPLICATE'
  end
  for at = from, to, 100 do
    redis.call('HSET', record, unpack(ARGV, at, math.min(at + 99, to)))
  end
  redis.call('HSET', record, 'type', job.type, 'priority', job.priority, 'state', job.state)
  place(job, record)
  link_awaiting(job.id, job.id, redis.call('HGET', record, 'state'))
end

local answers = { 'OK' }
for number, row in ipairs(cmsgpack.unpack(ARGV[3])) do
  local job = {
    id = row[1], type = row[2], priority = row[3], state = row[4], at = tonumber(row[5]) or 0, expires = row[6],
    unique_until = tonumber(row[7]) or 0, waits_for = row[8], failed_by = row[9], group = row[10],
  }
  local from = arg
  arg = arg + 2 * row[11]
  local answer = store(job, from, arg - 1)
  if answer then
    answers[#answers + 1] = number
    answers[#answers + 1] = answer
  end
end
write_arrived(earliest)
remember_import(ARGV[1], ARGV[2])
return answers
