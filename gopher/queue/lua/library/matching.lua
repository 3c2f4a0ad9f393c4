-- Whether a job matches a filter. No payload is parsed for it: of an envelope, only its own fields are looked for.

-- Return whether an envelope has a field on its first level, as it is written: "owner":"shop". Strings are skipped, so that
-- nothing in a payload is taken for one.
local function has_field(envelope, field)
  if not string.find(envelope, field, 1, true) then
    return false
  end
  local depth, at = 0, 1
  while true do
    local found, _, char = string.find(envelope, '(["{}%[%]])', at)
    if not found then
      return false
    elseif char == '"' then
      if depth == 1 and string.sub(envelope, found, found + #field - 1) == field then
        return true
      end
      local last = found + 1
      while true do
        local stop, _, what = string.find(envelope, '(["\\])', last)
        if not stop then
          return false
        elseif what == '"' then
          at = stop + 1
          break
        end
        last = stop + 2
      end
    else
      depth = depth + ((char == '{' or char == '[') and 1 or -1)
      at = found + 1
    end
  end
end

-- Return when a job was created (ms): its id tells, unless its record does.
local function created_at(id, created)
  return tonumber(created) or tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16) or 0
end

local ENVELOPE_AT_ONCE = 2048 -- bytes of an envelope that take as long to search as another job to look at

-- Return whether a job matches what a cancellation asks for, and how much more work that was than to look at a short record; `plan`
-- has its states, conditions (type, created before, fields of the envelope, tenant) and when it began.
local function matches(id, plan)
  local job_type, before, fields, tenant = unpack(plan.conditions)
  -- By themselves: most jobs are of other types, or tenants.
  local found = read_record(id, 'type', 'tenant')
  if not found[1] or (job_type ~= '' and found[1] ~= job_type) or (tenant ~= '' and found[2] ~= tenant) then
    return false, 0
  end
  found = read_record(id, 'state', 'since', 'created')
  if not (found[1] and plan.states[found[1]]) then
    return false, 0
  end
  local created = created_at(id, found[3])
  if (before ~= '' and created >= tonumber(before)) or (created > plan.began and (tonumber(found[2]) or 0) > plan.began) then
    return false, 0
  end
  local envelope = #fields > 0 and read_record(id, 'envelope')[1] or ''
  for _, field in ipairs(fields) do
    if not has_field(envelope, field) then
      return false, #envelope / ENVELOPE_AT_ONCE
    end
  end
  return true, #envelope / ENVELOPE_AT_ONCE
end
