"""All commands as data; menus, toolbar, shortcuts and the command search are built from this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ActionSpec:
    """One command.

    Attributes:
        id: name of the method that carries it out.
        menu: menu it stands in.
        text: words on the screen, with the mnemonic's ``&``.
        shortcut: keys in Qt's portable text, several separated by a space and a bar; empty if none.
        tip: what it does, one line.
        separated: whether a line stands above it.
    """

    id: str
    menu: str
    text: str
    shortcut: str
    tip: str
    separated: bool = False

    @property
    def shortcuts(self) -> list[str]:
        """The shortcuts one by one."""
        return [keys for keys in self.shortcut.split(" | ") if keys]


ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec(
        "open_images",
        "&File",
        "&Open images or annotations…",
        "Ctrl+O",
        "Images, or annotations: COCO, VOC, YOLO, LabelMe, CVAT, CSV, …",
    ),
    ActionSpec(
        "open_folder",
        "&File",
        "Open &folder…",
        "Ctrl+Shift+O",
        "A folder of images, with its annotations in any format",
    ),
    ActionSpec("open_samples", "&File", "Open the &samples", "", "The bundled photos and scenes"),
    ActionSpec("open_model", "&File", "Load &model…", "Ctrl+M", "A checkpoint, ONNX graph or RPN dump", separated=True),
    ActionSpec(
        "open_training",
        "&File",
        "Load a folder of checkpoints or dum&ps…",
        "",
        "A training to play back, or what a trainer recorded: docs/rpn-dump.md",
    ),
    ActionSpec("open_bundled_model", "&File", "Load the sample mo&del", "", "Trained on synthetic shapes"),
    ActionSpec(
        "model_options",
        "&File",
        "Model optio&ns…",
        "",
        "What its file does not say, such as the order of colours",
    ),
    ActionSpec("open_params", "&File", "Load p&arameters…", "", "A Params document, as Copy parameters makes it"),
    ActionSpec(
        "open_config",
        "&File",
        "Open &trainer configuration…",
        "Ctrl+Shift+L",
        "detectron2's YAML, mmdetection's or Matterport's as JSON, torchvision's arguments, keras-retinanet's INI",
    ),
    ActionSpec("config_details", "&File", "&What the configuration said…", "", "Each field, and what became of it"),
    ActionSpec(
        "copy_for_trainer",
        "&File",
        "Copy for tra&iner…",
        "Ctrl+Shift+X",
        "The parameters as the configuration of a trainer of your choice",
    ),
    ActionSpec(
        "open_session",
        "&File",
        "Open sess&ion…",
        "",
        "What was opened, with its parameters, layers and selection",
        separated=True,
    ),
    ActionSpec("save_session", "&File", "Sa&ve session…", "Ctrl+S", "To go on later, or on another machine"),
    ActionSpec(
        "save_boxes",
        "&File",
        "Save &boxes as COCO…",
        "Ctrl+Alt+S",
        "All boxes of the data set, with those that were changed by hand",
    ),
    ActionSpec(
        "share_case",
        "&File",
        "S&hare case…",
        "",
        "One zip with the image, its boxes, parameters, picture and findings, for a colleague or an issue",
    ),
    ActionSpec(
        "export_picture", "&File", "&Export picture…", "Ctrl+E", "The picture with legend and numbers", separated=True
    ),
    ActionSpec("reload", "&File", "&Reload", "F5", "Read the data set's files again", separated=True),
    ActionSpec("quit", "&File", "&Quit", "Ctrl+Q", "Close the program"),
    ActionSpec("undo", "&Edit", "&Undo", "Ctrl+Z", "Take the last change of parameters or boxes back"),
    ActionSpec("redo", "&Edit", "&Redo", "Ctrl+Shift+Z | Ctrl+Y", "Bring the undone change back"),
    ActionSpec(
        "edit_boxes",
        "&Edit",
        "Dra&w and move boxes",
        "E",
        "Drag to draw a ground-truth box, or to move the selected one; no file is changed",
        separated=True,
    ),
    ActionSpec(
        "add_box",
        "&Edit",
        "Add a bo&x",
        "Ins",
        "A copy of the selected one, else one in the middle of what is seen; arrows move it, Ctrl+arrows its corner",
    ),
    ActionSpec("delete_boxes", "&Edit", "Delete the selected &boxes", "Del", "Undo brings them back"),
    ActionSpec("reset_params", "&Edit", "Reset all &parameters", "", "Back to the trainer's defaults", separated=True),
    ActionSpec(
        "use_model_settings",
        "&Edit",
        "Use the &model's settings",
        "",
        "Train with the resize, anchors and coder that the loaded model was built with",
    ),
    ActionSpec("copy_picture", "&Edit", "Copy p&icture", "Ctrl+Alt+C", "As on the screen, with legend and numbers"),
    ActionSpec("copy_params", "&Edit", "&Copy parameters", "Ctrl+Shift+C", "The Params document as JSON, for --params"),
    ActionSpec(
        "copy_selected",
        "&Edit",
        "Copy the &selected rows",
        "Ctrl+Shift+R",
        "The selected boxes as a table",
    ),
    ActionSpec(
        "draw_again", "&Edit", "Draw the &mini-batch again", "R", "Another seed, another mini-batch", separated=True
    ),
    ActionSpec(
        "usual_views",
        "&Edit",
        "Use the trainer's usual &views",
        "",
        "Short sides and flip of its default configuration",
    ),
    ActionSpec("next_image", "&Go", "&Next image", "PgDown | ]", "The next image of the list"),
    ActionSpec("previous_image", "&Go", "&Previous image", "PgUp | [", "The previous image of the list"),
    ActionSpec("next_problem", "&Go", "Next pro&blem", "N", "The next ground-truth box with a problem, worst first"),
    ActionSpec(
        "previous_problem", "&Go", "Previous problem", "Shift+N", "The previous ground-truth box with a problem"
    ),
    ActionSpec(
        "select_anchor",
        "&Go",
        "Select an &anchor",
        "C",
        "The best anchor of the selected ground truth, else the nearest to the pointer; arrows then step through the "
        "grid, Shift+arrows through levels and shapes",
        separated=True,
    ),
    ActionSpec(
        "list_boxes",
        "&Go",
        "&List the boxes at the pointer",
        "",
        "Everything at one point (right click, Menu or Shift+F10 on the canvas)",
    ),
    ActionSpec("next_stage", "&Go", "Next s&tage", ".", "Where the selected box goes next", separated=True),
    ActionSpec("previous_stage", "&Go", "Previous sta&ge", ",", "Where the selected box was before"),
    ActionSpec(
        "run_model", "&Go", "&Run the model again", "Ctrl+R", "After it was stopped or has failed", separated=True
    ),
    ActionSpec("play", "&Go", "Pla&y the training", "K", "Its steps one after the other, or stop"),
    ActionSpec("next_training_step", "&Go", "Next step of the training", "L", "How the model was later"),
    ActionSpec("previous_training_step", "&Go", "Previous step of the training", "J", "How the model was before"),
    ActionSpec("clear_selection", "&Go", "&Clear selection", "Esc", "Nothing selected", separated=True),
    ActionSpec("training_world", "&View", "&Training targets", "T", "What the trainer sees"),
    ActionSpec("model_world", "&View", "&Model proposals", "M", "What the model proposes"),
    ActionSpec("compare", "&View", "&Compare trainers…", "Ctrl+T", "Another trainer beside this one", separated=True),
    ActionSpec("compare_models", "&View", "Compare mo&dels…", "Ctrl+Shift+T", "Another model beside this one"),
    ActionSpec(
        "check_log",
        "&View",
        "Check a training &log…",
        "",
        "The positives per image that a trainer logged beside those expected of this data set",
    ),
    ActionSpec(
        "findings",
        "&View",
        "Chec&k the data set…",
        "Ctrl+Shift+F",
        "Everything that is wrong with its boxes and images, and what each trainer makes of it",
        separated=True,
    ),
    ActionSpec("loss_findings", "&View", "What can make the loss &NaN…", "", "Of the data set's boxes and images"),
    ActionSpec("zoom_in", "&View", "Zoom &in", "Ctrl++ | Ctrl+=", "Larger", separated=True),
    ActionSpec("zoom_out", "&View", "Zoom &out", "Ctrl+-", "Smaller"),
    ActionSpec("zoom_fit", "&View", "&Fit the window", "Ctrl+0", "The whole image"),
    ActionSpec("zoom_full", "&View", "&100 %", "Ctrl+1", "One image pixel on one screen pixel"),
    ActionSpec("toggle_everything", "&View", "&All anchors as density", "A", "Every anchor at once", separated=True),
    ActionSpec("flip_nms", "&View", "&Before or after NMS", "B", "All that enters NMS, or what is kept"),
    ActionSpec("toggle_centres", "&View", "&Grid of centres", "G", "Mark the positions of the level that is legible"),
    ActionSpec("toggle_views", "&View", "Strip of training &views", "V", "The image as training shows it, or not"),
    ActionSpec("toggle_here", "&View", "Anchors at the &pointer", "H", "All anchors of the positions under it"),
    ActionSpec("toggle_frame", "&View", "&Original or network input", "I", "The image, or what the network is given"),
    ActionSpec("filter_position", "&View", "Only this p&osition", "P", "Only the anchors where the selected stands"),
    ActionSpec("clear_filter", "&View", "Clear the fi&lter", "Shift+Esc", "Let every box pass again"),
    ActionSpec("focus_canvas", "&View", "Canvas &alone", "F", "Hide every pane, or bring them back"),
    ActionSpec("toggle_theme", "&View", "&Dark or light", "Ctrl+Shift+D", "Switch the window's colours"),
    ActionSpec("find_command", "&Help", "&Find a command…", "Ctrl+K", "Search all commands by name"),
    ActionSpec("about", "&Help", "&About rpnviz", "", "Version and licence"),
)
