import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from torch.nn.utils.rnn import pad_sequence

from otrainer.components.loss import LossOutput


def expert(count, seed):
    random, found = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        goal, place = torch.rand(2, 2, generator=random)
        speed, steps = torch.zeros(2), []
        for _ in range(int(torch.randint(10, 30, (), generator=random))):
            force, brake = 2 * (goal - place) - 1.5 * speed, (goal - place).norm() < 0.2
            steps.append((torch.cat([place, speed]), force, brake.float()))
            speed = speed + 0.1 * force
            place = place + 0.1 * speed
        state, force, brake = map(torch.stack, zip(*steps, strict=True))
        found.append({"obs": {"state": state, "goal": goal}, "action": {"force": force, "brake": brake}})
    return found


class Trajectories:
    def __init__(self, count, seed, noise=0.0):
        self.found, self.noise = expert(count, seed), noise

    def __len__(self):
        return len(self.found)

    def __getitem__(self, index):
        obs, action = self.found[index]["obs"], self.found[index]["action"]
        state = obs["state"] + self.noise * torch.randn_like(obs["state"])
        return {"obs": {**obs, "state": state}, "action": action}


class Padded:
    def __call__(self, samples):
        def padded(part, name):
            return pad_sequence([each[part][name] for each in samples], batch_first=True)

        lengths = torch.tensor([len(each["action"]["brake"]) for each in samples])
        return {
            "obs": {"state": padded("obs", "state"), "goal": torch.stack([each["obs"]["goal"] for each in samples])},
            "action": {"force": padded("action", "force"), "brake": padded("action", "brake")},
            "mask": torch.arange(int(lengths.max())) < lengths[:, None],
        }


def beside(state, goal):
    return torch.cat([state, goal[:, None].expand(-1, state.shape[1], -1)], dim=-1)


class Imitation:
    def __init__(self, brake=1.0):
        self.brake = brake

    def __call__(self, *, outputs, targets, batch, stage):
        mask = targets["mask"]
        force = mse_loss(outputs["force"][mask], targets["force"][mask])
        brake = binary_cross_entropy_with_logits(outputs["brake"].squeeze(-1)[mask], targets["brake"][mask])
        return LossOutput(force + self.brake * brake, {"force_loss": force, "brake_loss": brake}, weight=mask.sum())


def register(registry):
    registry.register_module("dataset.trajectories", Trajectories)
    registry.register_module("imitation.padded", Padded)
    registry.register_op("beside", beside)
    registry.register_module("loss.imitation", Imitation)
